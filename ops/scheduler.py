"""Airflow's scheduler with the tasks' libraries loaded, for LocalExecutor.

Its workers are forks of it, and each task is a fork of a worker: what is loaded here, once, no task has to load again.
That is seconds of each of some seventy tasks. Only libraries are loaded, never the platform's own modules, so a changed
file is seen by the next task; none of them starts threads when imported, so a fork is safe.
"""

import contextlib
import importlib
import logging
import sys

LIBRARIES = (
    "numpy",
    "scipy.spatial",
    "scipy.stats",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "psycopg2",
    "pydantic_settings",
    "healpy",
    "cdshealpix",
    "sklearn.ensemble",
    "xgboost",
    "great_expectations",
)


def main() -> None:
    """Load, then be the scheduler."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # the task that needs it will say so, with its name
            importlib.import_module(name)
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    airflow()


if __name__ == "__main__":
    main()
