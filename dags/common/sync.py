"""The DAG of one survey's sync."""

from typing import Any

from airflow.sdk import Asset, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from common.forms import checked_cells
from common.tasks import announce, flow_context, promote, tell, told_when_failed


def scope_of(params: dict[str, Any]) -> dict[str, Any]:
    """The scope of a sync from what its form gives: a cone as a region, cells as (order, pixel), the rest as it is.

    Raises
    ------
    AirflowFailException
        When a cone is given in part, or a cell does not exist.
    """
    cone = {name: params.pop(f"{name}_deg", None) for name in ("ra", "dec", "radius")}
    lacking = [f"{name}_deg" for name, value in cone.items() if value is None]
    if lacking and len(lacking) < len(cone):
        raise AirflowFailException(
            f"a region needs all of ra_deg, dec_deg and radius_deg, or none of them; empty: {', '.join(lacking)}"
        )
    if not lacking:
        params["regions"] = [{"ra": cone["ra"], "dec": cone["dec"], "radius_deg": cone["radius"]}]
    given = dict.fromkeys([*(params.pop("cells", None) or ()), *(params.pop("covered", None) or ())])
    params["cells"] = checked_cells(list(given))
    return params


def sync(survey: str, outlets: list[Asset]) -> None:
    """Wire a sync: the units still missing, their batches fetched, the raw snapshots committed, gated, promoted."""

    @task
    def plan() -> list[dict[str, Any]]:
        params = dict(get_current_context()["params"])
        dry_run, units = params.pop("dry_run"), params.pop("units", None)
        with told_when_failed():  # before anything is opened
            scope = scope_of(params)
            if units and any(value not in (None, [], "") for value in scope.values()):
                raise AirflowFailException("`units` are fetched as they were before: leave where and how much empty")
        from stellar import flow

        with flow_context() as ctx:
            if units:
                batches = flow.sync_again(ctx, survey, units, dry_run=dry_run)
            else:
                batches = flow.sync_plan(ctx, survey, scope, dry_run=dry_run)
        said = flow.sync_text(survey, batches)
        if dry_run:
            tell(f"Dry run. {said}")
            raise AirflowSkipException("dry run: nothing was changed")
        if units:
            tell(f"Asked for again: {', '.join(units)}; what has the same content changes nothing.")
        print(said)
        return batches

    @task(map_index_template="{{ part }}")
    def fetch(batch: dict[str, Any]) -> dict[str, Any]:
        from stellar import flow

        context = get_current_context()
        context["part"] = f"{len(batch['units'])} units"
        with flow_context() as ctx:
            return flow.sync_fetch(ctx, batch)

    @task(trigger_rule=TriggerRule.NONE_FAILED)  # a killed run may have fetched all and committed nothing
    def commit() -> list[str]:
        from stellar import flow

        if get_current_context()["params"]["dry_run"]:
            raise AirflowSkipException("dry run")
        with flow_context() as ctx:
            keys = [snapshot["key"] for snapshot in flow.sync_commit(ctx, survey) if snapshot["changed"]]
            said = flow.fetched_text(ctx, survey)
        tell(said)
        if not keys:
            raise AirflowSkipException(f"{survey}: nothing changed since the last sync")
        return keys

    @task
    def gate(keys: list[str]) -> list[str]:
        from stellar import flow

        with flow_context() as ctx:
            for report in flow.gate(ctx, keys):
                print(report)
        return keys

    keys = commit()
    fetch.expand(batch=plan()) >> keys
    announce.override(outlets=outlets)(promote([gate(keys)]))
