"""The sentence that every lake DAG is: plan, build, commit, gate, promote; then the assets that changed are announced.

Tasks import `stellar` when they run, never when a DAG file is parsed, and pass ids to each other, never rows. Each
may run twice at once (a killed scheduler's task goes on while its second try starts): what they call is fenced and
idempotent.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from airflow.sdk import Asset, TriggerRule, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

SETTLE_LIMIT_S = 1800
SETTLE_POLL_S = 1.5
ACTIVE = ["queued", "running"]
# XComs that plugins/stellar_listener.py makes the run's note and the operator's message of
NOTE, ERROR = "note", "error"
# parameters that name what a run is to do, whether it is due or not
NAMED = ("models", "files")
LONGEST_SAID = 1500


def tell(text: str) -> None:
    """Say something of the run where people read it: in the task's log, and in the note of the run."""
    print(text)
    get_current_context()["ti"].xcom_push(key=NOTE, value=text[:LONGEST_SAID])


@contextmanager
def flow_context() -> Iterator[Any]:
    """Open the platform for one task attempt; what trying again cannot mend fails at once, without retries."""
    from stellar import errors, flow

    ti = get_current_context()["ti"]
    with told_when_failed():
        try:
            with flow.open_context(run_id=f"{ti.dag_id}/{ti.run_id}", ol_parent=_openlineage_run(ti)) as ctx:
                yield ctx
        except (errors.GateFailed, errors.InputError, errors.IntegrityError) as error:
            raise AirflowFailException(str(error)) from error


@contextmanager
def told_when_failed() -> Iterator[None]:
    """Leave what goes wrong for the note of the run and for the operator's message."""
    try:
        yield
    except (AirflowSkipException, GeneratorExit):
        raise
    except BaseException as error:  # a task that ran out of time is not even an Exception
        ours = isinstance(error, AirflowFailException) or type(error).__module__ == "stellar.errors"
        _leave(get_current_context()["ti"], str(error) if ours else f"{type(error).__name__}: {error}")
        raise


def _leave(ti: Any, said: str) -> None:
    with suppress(Exception):  # the error itself is what matters
        from stellar.notify.message import blotted
        from stellar.settings import load_settings

        ti.xcom_push(key=ERROR, value=blotted(load_settings(), said)[:LONGEST_SAID])


def _openlineage_run(ti: Any) -> tuple[str, str] | None:
    """Run and job of this task in Airflow's own OpenLineage events; None where it sends none."""
    if "AIRFLOW__OPENLINEAGE__TRANSPORT" not in os.environ:
        return None
    try:
        from airflow.providers.openlineage.plugins.macros import lineage_job_name, lineage_run_id

        return str(lineage_run_id(ti)), lineage_job_name(ti)
    except Exception as error:  # what is told of the work must not fail the work
        print(f"OpenLineage: this task's own run is not known: {error}")
        return None


@task.short_circuit(pool="settle")
def settle(upstream: Sequence[str]) -> bool:
    """Wait until the DAGs that feed this one are idle, so that one run takes all they bring; skip if nothing is due.

    A dry run waits for nothing and says what would be built. What was asked for by name is due in any case.
    """
    from stellar import flow

    context = get_current_context()
    ti = context["ti"]
    if context["params"].get("dry_run"):
        with flow_context() as ctx:
            tell(f"Dry run. {flow.stages_text(ctx, ti.dag_id)}")
        return False
    give_up = time.monotonic() + SETTLE_LIMIT_S
    while any(ti.get_dr_count(dag_id=dag_id, states=ACTIVE) for dag_id in upstream) and time.monotonic() < give_up:
        time.sleep(SETTLE_POLL_S)
    with flow_context() as ctx:
        due = any(context["params"].get(name) for name in NAMED) or bool(flow.stale(ctx, only=ti.dag_id))
    if not due:
        tell("Nothing was due: all outputs follow from their inputs.")
    return due


@task
def promote(keys: list[list[str]]) -> list[dict[str, Any]]:
    """Make the candidates of all stages current, all or none; returns what is told of the datasets that changed."""
    from stellar import flow

    with flow_context() as ctx:
        changed = flow.promote(ctx, flat(keys), who="airflow", reason=ctx.run_id)
        made = flow.account(ctx, flat(keys), changed)
    tell(flow.account_text(made))
    return [one for one in made if one["changed"]]


@task
def announce(changed: list[dict[str, Any] | None]) -> None:
    """Send an asset event per dataset that changed, with counts and links; ends skipped when none did."""
    context = get_current_context()
    operator = context["task"]
    told = {one["dataset"]: one for one in changed if one}
    operator.outlets = [asset for asset in operator.outlets if asset.name in told]
    if not operator.outlets:
        raise AirflowSkipException("nothing changed")
    for asset in operator.outlets:
        context["outlet_events"][asset].extra.update(told[asset.name])


def flat(keys: Sequence[Sequence[str]]) -> list[str]:
    """Keys of several stages as one list."""
    return [key for part in keys for key in part]


def stage(name: str, before: list[Any]) -> Any:
    """Task group of one stage: plan, build, commit, gate. Its output is the keys of the stage's snapshots.

    `before` holds the keys of the stages before it in the same DAG, which this one reads although they are not current
    yet: a DAG promotes all that it built in one transaction, at its end.
    """

    @task
    def plan(before: list[list[str]]) -> list[dict[str, Any]]:
        from stellar import flow

        context = get_current_context()
        with flow_context() as ctx:
            items = flow.stage_plan(ctx, name, dict(context["params"]), flat(before))
        for item in items:
            print(item)
        context["ti"].xcom_push(key="items", value=items)
        return [item for item in items if item["batch"] is not None]

    @task(map_index_template="{{ item['dataset'] }} {{ item['batch'] }}")
    def build(item: dict[str, Any]) -> None:
        from stellar import flow

        context = get_current_context()
        context["item"] = item
        with flow_context() as ctx:
            flow.stage_build(ctx, item)

    @task(trigger_rule=TriggerRule.NONE_FAILED)  # nothing to build is no reason not to commit
    def commit() -> list[str]:
        from stellar import flow

        items = get_current_context()["ti"].xcom_pull(task_ids=f"{name}.plan", key="items")
        with flow_context() as ctx:
            return flow.stage_commit(ctx, items)

    @task
    def gate(keys: list[str], before: list[list[str]]) -> list[str]:
        from stellar import flow

        with flow_context() as ctx:
            for report in flow.gate(ctx, keys, flat(before)):
                print(report)
        return keys

    @task_group(group_id=name)
    def group() -> Any:
        keys = commit()
        build.expand(item=plan(before)) >> keys
        return gate(keys, before)

    return group()


def sentence(stages: Sequence[str], outlets: list[Asset], upstream: Sequence[str]) -> None:
    """Wire a DAG: settle, its stages one after another, promote, announce."""
    keys: list[Any] = []
    due = settle(list(upstream))
    for name in stages:
        keys.append(stage(name, list(keys)))
    due >> keys[0].operator.task_group
    announce.override(outlets=outlets)(promote(keys))
