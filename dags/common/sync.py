"""The DAG of one survey's sync, and the parameters that syncs have in common."""

from typing import Any

from airflow.sdk import Asset, Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from common.names import DRY_RUN
from common.tasks import announce, flow_context, promote


def region_params() -> dict[str, Param]:
    """Where to sync: a cone or HEALPix cells; empty means the survey's configured scope."""
    return {
        "ra_deg": Param(
            None, type=["null", "number"], minimum=0, maximum=360, description="Centre, right ascension, degrees"
        ),
        "dec_deg": Param(
            None, type=["null", "number"], minimum=-90, maximum=90, description="Centre, declination, degrees"
        ),
        "radius_deg": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            maximum=30,
            description="Radius around the centre, degrees",
        ),
        "cells": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": r"^\d{1,2}/\d+$"},
            description="HEALPix cells ORDER/PIXEL (nested), one per line, instead of a centre and radius",
        ),
    }


def limit_params() -> dict[str, Param]:
    """How much to sync."""
    return {
        "release": Param(None, type=["null", "string"], description="Data release; empty means the configured one"),
        "row_cap": Param(
            None, type=["null", "integer"], minimum=1, description="At most this many rows per dataset; for trials"
        ),
        "dry_run": DRY_RUN,
    }


def magnitude_param() -> dict[str, Param]:
    """Faint limit."""
    return {
        "magnitude_limit": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=30,
            description="Faintest magnitude, in the survey's main band",
        )
    }


def scope_of(params: dict[str, Any]) -> dict[str, Any]:
    """The scope of a sync from what its form gives: a cone as a region, cells as (order, pixel), the rest as it is."""
    cone = {name: params.pop(f"{name}_deg", None) for name in ("ra", "dec", "radius")}
    given = [value is not None for value in cone.values()]
    if any(given) and not all(given):
        raise AirflowFailException("a region needs all of ra_deg, dec_deg and radius_deg")
    if all(given):
        params["regions"] = [{"ra": cone["ra"], "dec": cone["dec"], "radius_deg": cone["radius"]}]
    params["cells"] = [tuple(int(part) for part in cell.split("/")) for cell in params.pop("cells", None) or ()]
    return params


def sync(survey: str, outlets: list[Asset]) -> None:
    """Wire a sync: the units still missing, their batches fetched, the raw snapshots committed, gated, promoted."""

    @task
    def plan() -> list[dict[str, Any]]:
        from stellar import flow

        params = dict(get_current_context()["params"])
        dry_run = params.pop("dry_run")
        with flow_context() as ctx:
            batches = flow.sync_plan(ctx, survey, scope_of(params), dry_run=dry_run)
        for batch in batches:
            print(batch)
        if dry_run:
            raise AirflowSkipException("dry run")
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
