"""What the DAG files share: names, defaults, and the sentence that every lake DAG is."""
