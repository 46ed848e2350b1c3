"""The Stellar Platform: from public sky surveys to scored, queryable, traceable star catalogues."""

__version__ = "0.1.0"
