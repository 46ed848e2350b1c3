"""Write docs/DAGs.md from the DAGs' own docstrings, schedules and parameters; `--check` fails when it is stale."""

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "dags"))  # as Airflow does
PAGE = ROOT / "docs" / "DAGs.md"
HEAD = """# DAGs

Generated from the DAG files by `ops/dags_page.py`; `make lint` fails when it is stale. What is written here is
also what the UI shows on each DAG's page. Schedules are those of the profile `simulated` (`real` for `sync_files`).
"""


def load_dags(profile: str) -> dict:
    """The DAGs of `dags/`, as Airflow reads them, by id."""
    os.environ["STELLAR_PROFILE"] = profile
    for name in [name for name in sys.modules if name == "common" or name.startswith("common.")]:
        del sys.modules[name]
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(ROOT / "dags"))
    if bag.import_errors:
        sys.exit("\n".join(f"{file}: {error}" for file, error in bag.import_errors.items()))
    return bag.dags


def page() -> str:
    """The whole page."""
    dags = load_dags("simulated")
    dags["sync_files"] = load_dags("real")["sync_files"]
    order = sorted(dags, key=lambda name: (not name.startswith("sync_"), _rank(name), name))
    return HEAD + "".join(_section(dags[name]) for name in order)


def _rank(name: str) -> int:
    order = ("build_catalog", "extract_features", "train_models", "score_catalog", "import_catalog")
    order += ("crossmatch_catalogs", "maintain_lake", "check_freshness", "rebuild_partition")
    return order.index(name) if name in order else -1


def _section(dag) -> str:
    doc = re.sub(r"^### .*\n+", "", dag.doc_md.strip())
    lines = [f"\n## {dag.dag_id}\n", doc, "", f"Schedule: {_schedule(dag)}. Tags: {', '.join(sorted(dag.tags))}.", ""]
    if dag.params:
        lines += ["| parameter | default | what it is |", "| --- | --- | --- |"]
        for name in dag.params:
            param = dag.params.get_param(name)
            default = "required" if str(param.value) == "NOTSET" else f"`{param.value}`"
            lines.append(f"| `{name}` | {default} | {param.description} |")
        lines.append("")
    lines.append("Tasks: " + ", ".join(f"`{task.task_id}`" for task in dag.topological_sort()) + ".")
    return "\n".join(lines) + "\n"


def _schedule(dag) -> str:
    condition = getattr(dag.timetable, "asset_condition", None)
    if condition:
        names = sorted({asset.name for asset in getattr(condition, "objects", [condition])})
        return "when any of these changed: " + ", ".join(f"`{name}`" for name in names)
    return f"`{dag.schedule}`" if dag.schedule else "by hand"


def main() -> None:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
    elif not PAGE.is_file() or PAGE.read_text() != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is stale: run .venv/bin/python ops/dags_page.py and commit it")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW_CONFIG": str(ROOT / "airflow.cfg"),
            "STELLAR_ROOT": str(ROOT),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        main()
