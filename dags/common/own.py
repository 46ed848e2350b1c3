"""The sentence for one dataset of the users' own: request, plan, build, commit, gate, promote."""

from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.tasks import flow_context, tell


def given(*others: str) -> dict[str, Any]:
    """The run's parameters that were filled in, without some that are for the tasks alone."""
    params = dict(get_current_context()["params"])
    return {key: value for key, value in params.items() if key not in others and value not in (None, "", [])}


def own_dataset(kind: str, after: Any = None) -> None:
    """Wire the tasks that make one dataset; `kind` names the function of `stellar.flow.own` that takes the request."""

    @task
    def request() -> dict[str, Any]:
        from stellar.flow import own

        with flow_context() as ctx:
            return getattr(own, f"{kind}_request")(ctx, given("promote", "dry_run"))

    @task
    def plan(asked: dict[str, Any]) -> list[dict[str, Any]]:
        from stellar.flow import own

        context = get_current_context()
        if context["params"]["dry_run"]:
            with flow_context() as ctx:
                tell(f"Dry run. {own.own_text(ctx, asked)}")
            raise AirflowSkipException("dry run: nothing was changed")
        with flow_context() as ctx:
            items = own.own_plan(ctx, asked)
        print({**items[0], "asked": asked["kind"]})
        context["ti"].xcom_push(key="items", value=items)
        return [item for item in items if item["batch"] is not None]

    @task(map_index_template="{{ item['dataset'] }} {{ item['batch'] }}")
    def build(item: dict[str, Any]) -> None:
        from stellar.flow import own

        context = get_current_context()
        context["item"] = item
        with flow_context() as ctx:
            own.own_build(ctx, item)

    @task(trigger_rule=TriggerRule.NONE_FAILED)  # nothing to build is no reason not to commit
    def commit() -> list[str]:
        from stellar.flow import own

        context = get_current_context()
        if context["params"]["dry_run"]:
            raise AirflowSkipException("dry run")
        with flow_context() as ctx:
            return own.own_commit(ctx, context["ti"].xcom_pull(task_ids="plan", key="items"))

    @task
    def gate(keys: list[str]) -> list[str]:
        from stellar import flow

        with flow_context() as ctx:
            for report in flow.gate(ctx, keys):
                print(report)
        return keys

    @task
    def promote(keys: list[str]) -> None:
        from stellar import flow

        if not get_current_context()["params"]["promote"]:
            raise AirflowSkipException("the result stays a candidate, as asked")
        with flow_context() as ctx:
            changed = flow.promote(ctx, keys, who="airflow", reason=ctx.run_id)
            tell(flow.account_text(flow.account(ctx, keys, changed)))

    asked, keys = request(), commit()
    if after is not None:
        after >> asked
    build.expand(item=plan(asked)) >> keys
    promote(gate(keys))
