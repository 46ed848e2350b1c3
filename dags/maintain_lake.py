"""
### Maintain the lake

Checks stored files against the ledger's hashes, retires snapshots that nothing needs any more, and clears what was
never committed, and checkpoints of trainings that were killed and not resumed for `keep_days` (a day at least). What
current scores and model versions came from always stays, and so does what a running training keeps. Monthly, at a quiet
hour; it holds no lock and disturbs no other run.

**By hand**: after a crash or a copy of the lake; `verify` alone is `stellar verify`.

**Resume**: trigger again.

**A failure looks like** a list of files with what is wrong: missing, other bytes than the ledger says, or rows that
do not add up. Nothing is deleted then. `stellar verify DATASET --repair` and a run of its stage make the files again;
raw files are put back from a copy.
"""

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.forms import DRY_RUN, KEEP, KEEP_DAYS
from common.names import DAG_DEFAULTS, Tag
from common.tasks import flow_context, tell


@task
def maintain() -> None:
    from stellar import flow

    params = dict(get_current_context()["params"])
    with flow_context() as ctx:
        report = flow.maintain(ctx, params)
    tell(flow.maintained_text(report))
    if params["dry_run"]:
        raise AirflowSkipException("dry run: nothing was changed")


@dag(
    schedule="30 3 1 * *",
    params={"keep": KEEP, "keep_days": KEEP_DAYS, "dry_run": DRY_RUN},
    tags=[Tag.MAINTENANCE],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def maintain_lake() -> None:
    maintain()


maintain_lake()
