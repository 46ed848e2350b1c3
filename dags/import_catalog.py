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

from airflow.sdk import Param, dag, get_current_context, task

from common.names import DAG_DEFAULTS, DRY_RUN, Tag
from common.own import NAME, PROMOTE, given, own_dataset
from common.tasks import flow_context

FILES = "Files or folders: Parquet, CSV, FITS, VOTable, ECSV, HATS"
PARAMS = {
    "files": Param(type="array", items={"type": "string"}, minItems=1, description=FILES),
    "name": NAME,
    "id_column": Param(type="string", minLength=1, description="Column that identifies a row: whole numbers or text"),
    "ra": Param("ra", type="string", description="Column with the right ascension, degrees"),
    "dec": Param("dec", type="string", description="Column with the declination, degrees"),
    "margin_arcsec": Param(10, type="number", minimum=0, description="Width of the margins to keep, arcsec"),
    "promote": PROMOTE,
    "dry_run": DRY_RUN,
}


@task
def groups() -> list[dict[str, Any]]:
    from stellar.flow import own

    with flow_context() as ctx:
        return own.import_groups(ctx, given("promote", "dry_run"))


@task(map_index_template="{{ part }}")
def stage(group: dict[str, Any]) -> int:
    from stellar.flow import own

    get_current_context()["part"] = f"{len(group['sources'])} tables, {group['bytes'] / 1e6:.0f} MB"
    with flow_context() as ctx:
        return own.import_stage(ctx, given("promote", "dry_run"), group)


@dag(schedule=None, params=PARAMS, tags=[Tag.CATALOG], doc_md=__doc__, **DAG_DEFAULTS)
def import_catalog() -> None:
    own_dataset("import", after=stage.expand(group=groups()))


import_catalog()
