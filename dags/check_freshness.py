"""
### Check freshness

Looks, once a day, for surveys that no sync came to an end of for more than 8 days, and for scores that have not
followed a sync within 24 hours, and tells the operator (`STELLAR_NOTIFY`): once, and again each week while it lasts.
Messages that could not be sent before are tried again.

**By hand**: to see at once what is late; a dry run sends nothing.

**Resume**: trigger again; what was told is not told twice.

**A failure looks like** a ledger that does not answer. A receiver that is away is no failure: its messages wait in
the home's `outbox`, and `stellar notify` says how many.
"""

import os

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.forms import DRY_RUN
from common.names import DAG_DEFAULTS, Tag
from common.tasks import flow_context, tell


@task
def look() -> None:
    from stellar import flow
    from stellar.flow.lateness import messages
    from stellar.notify import outbox

    with flow_context() as ctx:
        late = flow.late(ctx)
        tell("\n".join(f"- {one['title']}: {one['text']}" for one in late) or "Nothing is late.")
        if get_current_context()["params"]["dry_run"]:
            raise AirflowSkipException("dry run: nobody was told")
        outbox.put_once(ctx.settings, messages(late, os.environ.get("AIRFLOW__API__BASE_URL", "")))
        sent, left = outbox.deliver(ctx.settings, waits_s=(0, 2, 10), say=print)
    print(f"{sent} messages sent, {left} left")


@dag(
    schedule="15 5 * * *",
    params={"dry_run": DRY_RUN},
    tags=[Tag.MAINTENANCE],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def check_freshness() -> None:
    look()


check_freshness()
