"""An Airflow process whose tasks are forks of it, with the tasks' libraries loaded: `preloaded.py scheduler …` for
LocalExecutor, `preloaded.py celery worker …` for CeleryExecutor.

What is loaded here, once, no task has to load again. That is seconds of each of some seventy tasks. Only libraries are
loaded, never the platform's own modules, so a changed file is seen by the next task; none of them starts threads when
imported, so a fork is safe.
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
    """Load, then be what the arguments say."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # the task that needs it will say so, with its name
            importlib.import_module(name)
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()


if __name__ == "__main__":
    main()
