"""Gates: what must hold of a dataset before it becomes current."""
