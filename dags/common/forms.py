"""What the trigger forms ask: fields that several DAGs have in common, with titles, sections and choices.

Airflow's API checks a run's parameters against these schemas and refuses a wrong one with 400 before there is a run.
What a schema cannot say (fields that belong together, cells and units that exist) the first task checks.
"""

from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from common.names import RELEASES, SURVEY_DATASETS, choices, model_configs, profile

WHERE, HOW_MUCH, AGAIN, RUN = "Where", "How much", "Fetch again", "Run"
CELL = r"^([0-9]|[12][0-9])/\d+$"

KEEP = Param(
    2,
    type="integer",
    minimum=1,
    title="Keep",
    section="What",
    description="Former snapshots to keep per dataset, for rollback",
)

KEEP_DAYS = Param(
    30,
    type="integer",
    minimum=0,
    title="Keep days",
    section="What",
    description="Keep what was current within so many days, for `stellar sql --as-of`; checkpoints too",
)

DRY_RUN = Param(
    False,
    type="boolean",
    title="Dry run",
    description="Only say what would be done, in the first task's log and the run's note. Nothing is changed.",
    section=RUN,
)


def region_params(survey: str) -> dict[str, Param]:
    """Where to sync: a cone, HEALPix cells, or cells that were synced before; empty means the configured scope."""
    number = ["null", "number"]
    return {
        "ra_deg": Param(
            None,
            type=number,
            minimum=0,
            exclusiveMaximum=360,
            title="RA",
            section=WHERE,
            description="Centre of a cone, right ascension, degrees; a cone needs centre and radius",
        ),
        "dec_deg": Param(
            None,
            type=number,
            minimum=-90,
            maximum=90,
            title="Dec",
            section=WHERE,
            description="Centre of a cone, declination, degrees",
        ),
        "radius_deg": Param(
            None,
            type=number,
            exclusiveMinimum=0,
            maximum=30,
            title="Radius",
            section=WHERE,
            description="Radius around the centre, degrees; all three empty: the survey's configured scope",
        ),
        "cells": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": CELL},
            title="HEALPix cells",
            section=WHERE,
            description="ORDER/PIXEL (nested), one per line; with or instead of a cone",
        ),
        "covered": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": CELL},
            examples=_covered(survey),
            title="Cells covered already",
            section=WHERE,
            description="Coarse cells that hold rows of this survey now, to bring what is new there",
        ),
    }


def _covered(survey: str) -> list[str]:
    """Coarse cells of a survey's datasets, in the order of their pixels."""
    found = {cell for dataset in SURVEY_DATASETS[survey] for cell in choices().get("cells", {}).get(dataset, ())}
    return sorted(found, key=lambda cell: [int(part) for part in cell.split("/")])


def limit_params(survey: str, *, magnitude: bool = True) -> dict[str, Param]:
    """How much to sync, units to fetch again, and the dry run."""
    configured = RELEASES[survey][0]
    params = {
        "release": Param(
            None,
            type=["null", "string"],
            enum=[None, *RELEASES[survey]],
            values_display={"None": f"the configured one ({configured})"},
            title="Data release",
            section=HOW_MUCH,
            description=f"Data release; empty means the configured one, {configured}",
        ),
        "row_cap": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Row cap",
            section=HOW_MUCH,
            description="At most this many rows per dataset; for trials",
        ),
    }
    if magnitude:
        params["magnitude_limit"] = Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=30,
            title="Faint limit",
            section=HOW_MUCH,
            description="Faintest magnitude, in the survey's main band",
        )
    return params | unit_params() | {"dry_run": DRY_RUN}


def unit_params() -> dict[str, Param]:
    """Units of work to fetch once more."""
    return {
        "units": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "minLength": 1},
            title="Units",
            section=AGAIN,
            description="Names of units that were fetched before, one per line (`stellar sync SURVEY --list-units`): "
            "they alone are asked for again, past the cache; other content supersedes the unit's batch",
        )
    }


def dataset_param(default: Any = None, **given: Any) -> Param:
    """A dataset's name; the current ones are proposed."""
    arguments = ({"default": default} if default is not None else {}) | {"type": "string", "minLength": 1} | given
    return Param(examples=choices().get("datasets", []), **arguments)


def model_params() -> dict[str, Param]:
    """Which models to train."""
    names = "|".join(model_configs())
    return {
        "models": Param(
            [],
            type="array",
            items={"type": "string", "pattern": rf"^({names}|.+\.ya?ml)$"},
            examples=model_configs(),
            values_display={name: f"{name} (of this home's profile)" for name in profile()["models"]},
            title="Models",
            section="What",
            description="Configs to train; empty, and no file below, means all of the profile",
        ),
        "files": Param(
            [],
            type="array",
            items={"type": "string", "pattern": r"\.ya?ml$"},
            title="Model files",
            section="What",
            description="YAML files of your own models, one per line; relative paths are from the project's root",
        ),
        "dry_run": DRY_RUN,
    }


def checked_cells(cells: list[str]) -> list[tuple[int, int]]:
    """Cells as (order, pixel).

    Raises
    ------
    AirflowFailException
        When an order has no such pixel; names the cell and how many pixels there are.
    """
    found = []
    for text in cells:
        order, pixel = (int(part) for part in text.split("/"))
        if pixel >= 12 * 4**order:
            raise AirflowFailException(f"cell {text}: order {order} has the pixels 0 to {12 * 4**order - 1}")
        found.append((order, pixel))
    return found
