"""Parquet on disk: HATS catalogues and plain datasets, written, read, verified, and queried with SQL."""
