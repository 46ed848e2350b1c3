"""Scores of a model version over a feature dataset, as a step of the engine: one output row per feature row."""
