"""What the DAG files share: names, defaults, and the sentence that every lake DAG is."""

import gc

# Reading a DAG file may set off a full collection, which looks at all of Airflow's half million objects, costs a tenth
# of a second (ten times the rest) and frees nothing. What is loaded by now stays for good: leave it out.
gc.freeze()
