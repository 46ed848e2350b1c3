"""Airflow as far as DAG files need it: its configuration, and no database."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="stellar-airflow-"))
os.environ["AIRFLOW_CONFIG"] = str(ROOT / "airflow.cfg")
os.environ["STELLAR_ROOT"] = str(ROOT)
sys.path.insert(0, str(ROOT / "dags"))  # as Airflow does
