"""
### Cross-match two catalogues

For each row of LEFT its nearest row of RIGHT within the radius; the pairs become a dataset of their own, `own.NAME`.
What `stellar crossmatch` does, on Airflow's workers: partitions whose inputs did not change are carried over.

**By hand**: trigger it with both catalogues, a radius and a name; again after one of them changed.

**Resume**: clear the failed task, or trigger again; partitions already built are found.

**A failure looks like** a `request` that says what is wrong with a catalogue, a column or a margin and what to do, or
a failed `gate`, whose log names what failed.
"""

from airflow.sdk import dag

from common.names import DAG_DEFAULTS, Tag
from common.own import own_dataset
from common.own_forms import CROSSMATCH


@dag(schedule=None, params=CROSSMATCH, tags=[Tag.CATALOG], doc_md=__doc__, **DAG_DEFAULTS)
def crossmatch_catalogs() -> None:
    own_dataset("crossmatch")


crossmatch_catalogs()
