"""
### Import a catalogue

Tables on disk become a dataset of the lake, `own.NAME`: each row in its cell of the sky, with margins. What
`stellar import` does, on Airflow's workers: files are staged in parallel, and cells whose rows did not change are
carried over.

**By hand**: trigger it with the files and the columns of id and position; again after files changed.

**Resume**: clear the failed task, or trigger again; files already staged and partitions already built are found.

**A failure looks like** a `stage` log that names file and row, or a failed `gate`: ids that are given twice, rows
outside their cell. Rows without an id or a place on the sky are in `quarantine.own_NAME`, with the reason.
"""

from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.names import DAG_DEFAULTS, Tag
from common.own import given, own_dataset
from common.own_forms import IMPORT
from common.tasks import flow_context, tell


@task
def groups() -> list[dict[str, Any]]:
    from stellar.flow import own

    asked, dry_run = given("promote", "dry_run"), get_current_context()["params"]["dry_run"]
    with flow_context() as ctx:
        found = own.import_groups(ctx, asked)
        if not dry_run:
            return found
        tell(f"Dry run. {own.import_text(ctx, asked)}")
    raise AirflowSkipException("dry run: nothing was changed")


@task(map_index_template="{{ part }}")
def stage(group: dict[str, Any]) -> int:
    from stellar.flow import own

    get_current_context()["part"] = f"{len(group['sources'])} tables, {group['bytes'] / 1e6:.0f} MB"
    with flow_context() as ctx:
        return own.import_stage(ctx, given("promote", "dry_run"), group)


@dag(schedule=None, params=IMPORT, tags=[Tag.CATALOG], doc_md=__doc__, **DAG_DEFAULTS)
def import_catalog() -> None:
    own_dataset("import", after=stage.expand(group=groups()))


import_catalog()
