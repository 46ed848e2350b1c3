"""Readers of survey files, one module per kind: a file in, an Arrow table out."""
