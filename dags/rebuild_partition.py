"""
### Rebuild a partition

Builds partitions of one dataset from scratch, aside, on the inputs that its current snapshot was made from, and holds
them against what is stored. They have to have the same hashes: a snapshot is a pure function of what went in. Nothing
that is stored is changed. What `stellar verify DATASET --rebuild` does.

**By hand**: to check that a result can be had again, after a library or a machine changed, or for an auditor.

**Resume**: trigger again.

**A failure looks like** a list of partitions with two hashes each: the step is no pure function there, or something
below it differs. To build anew for good, change the step's version and trigger its DAG.
"""

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.forms import DRY_RUN, dataset_param
from common.names import DAG_DEFAULTS, Tag
from common.tasks import flow_context, tell

CELLS = Param(
    None,
    type=["null", "array"],
    items={"type": "string", "minLength": 1},
    title="Cells",
    section="What",
    description="ORDER/PIXEL, or names of partitions, one per line; empty means all of the dataset",
)
DATASET = dataset_param(title="Dataset", section="What", description="Current dataset; NAME means own.NAME")


@task
def rebuild() -> None:
    from stellar import errors, flow

    params = get_current_context()["params"]
    with flow_context() as ctx:
        found = flow.rebuild(ctx, params["dataset"], params["cells"] or (), dry_run=params["dry_run"])
        if params["dry_run"]:
            named = "\n".join(f"- {one['partition']}" for one in found)
            tell(f"Dry run. {len(found)} partitions of {params['dataset']} to build again.\n{named}")
            raise AirflowSkipException("dry run: nothing was built")
        said = flow.rebuild_text(found, params["dataset"])
        if not all(one["same"] for one in found):
            raise errors.IntegrityError(said)
        tell(said)


FORM = {"dataset": DATASET, "cells": CELLS, "dry_run": DRY_RUN}


@dag(schedule=None, params=FORM, tags=[Tag.MAINTENANCE], doc_md=__doc__, **DAG_DEFAULTS)
def rebuild_partition() -> None:
    rebuild()


rebuild_partition()
