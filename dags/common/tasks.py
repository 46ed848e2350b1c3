"""The sentence that every lake DAG is: plan, build, commit, gate, promote; then the assets that changed are announced.

Tasks import `stellar` when they run, never when a DAG file is parsed, and pass ids to each other, never rows. Each
may run twice at once (a killed scheduler's task goes on while its second try starts): what they call is fenced and
idempotent.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk import Asset, TriggerRule, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

SETTLE_LIMIT_S = 1800
SETTLE_POLL_S = 1.5
ACTIVE = ["queued", "running"]


@contextmanager
def flow_context() -> Iterator[Any]:
    """Open the platform for one task attempt; what trying again cannot mend fails at once, without retries."""
    from stellar import errors, flow

    context = get_current_context()
    ti = context["ti"]
    try:
        with flow.open_context(run_id=f"{ti.dag_id}/{ti.run_id}", attempt=ti.try_number) as ctx:
            yield ctx
    except (errors.GateFailed, errors.InputError, errors.IntegrityError) as error:
        raise AirflowFailException(str(error)) from error


@task.short_circuit
def settle(upstream: Sequence[str]) -> bool:
    """Wait until the DAGs that feed this one are idle, so that one run takes all they bring; skip if nothing is due."""
    from stellar import flow

    ti = get_current_context()["ti"]
    give_up = time.monotonic() + SETTLE_LIMIT_S
    while any(ti.get_dr_count(dag_id=dag_id, states=ACTIVE) for dag_id in upstream) and time.monotonic() < give_up:
        time.sleep(SETTLE_POLL_S)
    with flow_context() as ctx:
        return ti.dag_id in flow.stale(ctx)


@task
def gate(keys: list[str]) -> int:
    """Check the candidates against their suites; a failed gate fails the task and nothing is promoted."""
    from stellar import flow

    with flow_context() as ctx:
        return len(flow.gate(ctx, keys))


@task
def promote(keys: list[str], who: str, reason: str) -> list[str]:
    """Make the candidates current, all or none; returns the datasets that changed."""
    from stellar import flow

    with flow_context() as ctx:
        return sorted(dataset for dataset, changed in flow.promote(ctx, keys, who, reason).items() if changed)


@task
def announce(changed: list[list[str]]) -> None:
    """Send one asset event per dataset that changed; ends skipped, without an event, when none did."""
    names = {name for part in changed for name in part or ()}
    operator = get_current_context()["task"]
    operator.outlets = [asset for asset in operator.outlets if asset.name in names]
    if not operator.outlets:
        raise AirflowSkipException("nothing changed")


def who_and_why() -> dict[str, str]:
    """Template fields of `promote`: recorded with the promotion in the ledger."""
    return {"who": "airflow", "reason": "{{ dag_run.dag_id }}/{{ dag_run.run_id }}"}


def stage(name: str) -> Any:
    """Task group of one stage of the flow; its output is the list of datasets that changed."""

    @task
    def plan() -> list[dict[str, Any]]:
        from stellar import flow

        params = dict(get_current_context()["params"])
        dry_run = params.pop("dry_run")
        with flow_context() as ctx:
            items = flow.stage_plan(ctx, name, params)
        print(f"{name}: {len(items)} batches to build: {items}")
        if dry_run:
            raise AirflowSkipException("dry run")
        return items

    @task(map_index_template="{{ item['dataset'] }} {{ item['batch'] }}")
    def build(item: dict[str, Any]) -> None:
        from stellar import flow

        with flow_context() as ctx:
            flow.stage_build(ctx, item)

    @task(trigger_rule=TriggerRule.NONE_FAILED)  # nothing to build is no reason not to commit
    def commit() -> list[str]:
        from stellar import flow

        if get_current_context()["params"]["dry_run"]:
            raise AirflowSkipException("dry run")
        with flow_context() as ctx:
            return flow.stage_commit(ctx, name)

    @task_group(group_id=name)
    def group() -> Any:
        keys = commit()
        build.expand(item=plan()) >> keys
        promoted = promote(keys, **who_and_why())
        gate(keys) >> promoted
        return promoted

    return group()


def sentence(stages: Sequence[str], outlets: list[Asset], upstream: Sequence[str]) -> None:
    """Wire a DAG: settle, its stages one after another, announce."""
    previous, changed = settle(list(upstream)), []
    for name in stages:
        promoted = stage(name)
        previous >> promoted
        changed.append(promoted)
        previous = promoted
    announce.override(outlets=outlets)(changed)
