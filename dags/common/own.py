"""The sentence for one dataset of the users' own: request, plan, build, commit, gate, promote."""

from typing import Any

from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.tasks import flow_context

NAME = Param(type="string", pattern=r"^[a-z][a-z0-9_]*$", description="Name of the result, own.NAME")
PROMOTE = Param(True, type="boolean", description="Make the result current once its gate is passed")


def given(*others: str) -> dict[str, Any]:
    """The run's parameters that were filled in, without some that are for the tasks alone."""
    params = dict(get_current_context()["params"])
    return {key: value for key, value in params.items() if key not in others and value not in (None, "", [])}


def side_params() -> dict[str, Param]:
    """What may be said of either catalogue of a cross-match."""
    text = {"type": ["null", "string"]}
    names = {"type": ["null", "array"], "items": {"type": "string"}}
    options = {
        "epoch": (text, "Julian year or column (MJD: mjd:COL); positions move where both sides have one"),
        "id": (text, "Column that identifies a row; empty means the dataset's own"),
        "columns": (names, "Columns to keep; empty means all"),
        "sigma": (text, "Error of a position: arcsec, or column (mas:COL)"),
        "pm": (names, "Columns PMRA, PMDEC, and PARALLAX, RV; empty means by their usual names"),
    }
    return {
        f"{option}_{side}": Param(None, **kind, description=f"{what} ({side})")
        for option, (kind, what) in options.items()
        for side in ("left", "right")
    }


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
        with flow_context() as ctx:
            items = own.own_plan(ctx, asked)
        print({**items[0], "asked": asked["kind"]})
        if context["params"]["dry_run"]:
            raise AirflowSkipException("dry run")
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
            print(flow.promote(ctx, keys, who="airflow", reason=ctx.run_id))

    asked, keys = request(), commit()
    if after is not None:
        after >> asked
    build.expand(item=plan(asked)) >> keys
    promote(gate(keys))
