"""Tags, defaults and assets. Nothing here imports the package: it is read each time a DAG file is parsed."""

import json
import os
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Asset

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "include" / "stellar" / "config"
PROFILES = CONFIG / "profiles"


class Tag(StrEnum):
    """Every tag a DAG may have."""

    SYNC = "sync"
    CATALOG = "catalog"
    FEATURES = "features"
    MODELS = "models"
    SCORES = "scores"
    MAINTENANCE = "maintenance"


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "stellar",
    "retries": 3,
    "retry_delay": timedelta(seconds=2),
    "execution_timeout": timedelta(hours=6),
}
# Without a start date a schedule begins with its next tick; with one, the last tick would run at the first start.
DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": TASK_DEFAULTS,
    "render_template_as_native_obj": True,
}
SURVEY_DATASETS = {
    "gaia": ("gaia",),
    "sdss": ("sdss_photo", "sdss_spectra"),
    "tess": ("tess_lightcurves",),
    "labels": ("labels",),
}
# Releases that a survey's client knows, the configured one first (tests hold them to config/surveys and the clients).
RELEASES = {
    "gaia": ("gaiadr3",),
    "sdss": ("dr17", "dr16"),
    "tess": ("tess-spoc",),
    "labels": ("simbad",),
}
SYNC_DAGS = ("sync_gaia", "sync_sdss", "sync_tess", "sync_labels", "sync_files")


@cache
def profile() -> dict[str, Any]:
    """The profile of this home: which surveys, which curated datasets, which models."""
    return yaml.safe_load((PROFILES / f"{os.environ.get('STELLAR_PROFILE', 'simulated')}.yaml").read_bytes())


@cache
def choices() -> dict[str, Any]:
    """What the forms offer of this home's data, as the last promotion that changed it wrote it down; may be empty."""
    home = os.environ.get("STELLAR_HOME")
    try:
        return json.loads((Path(home or ROOT / ".stellar") / "cache" / "choices.json").read_bytes())
    except (OSError, ValueError):
        return {}


@cache
def model_configs() -> list[str]:
    """Names of the models that the platform has a config of."""
    return sorted(path.stem for path in (CONFIG / "models").glob("*.yaml"))


def assets(layer: str, *subjects: str) -> list[Asset]:
    """Assets of a layer's datasets; the name is the dataset's, and the SQL view's."""
    return [_asset(layer, subject) for subject in subjects]


def _asset(layer: str, subject: str) -> Asset:
    """`Asset(name=…, uri=…)` without its look at every installed provider, which costs each parse a tenth of a second.

    It would look for a normaliser of the scheme; `stellar://layer/subject` is written in its normal form.
    """
    page = f"models?model={subject.replace('_', '-')}" if layer == "models" else f"quality?dataset={layer}.{subject}"
    asset = Asset(name=f"{layer}.{subject}", extra={"page": f"stellar/pages/{page}"})
    object.__setattr__(asset, "uri", f"stellar://{layer}/{subject}")
    return asset


def weekly(survey: str) -> str | None:
    """Schedule of a survey's sync: weekly in a profile that has the survey, by hand in others."""
    return "@weekly" if survey in profile()["surveys"] else None


def raw(survey: str) -> list[Asset]:
    """Assets that a survey's sync brings."""
    return assets("raw", *(profile().get("files", ()) if survey == "files" else SURVEY_DATASETS[survey]))


def all_raw() -> list[Asset]:
    """Assets of every survey of the profile."""
    return [asset for survey in profile()["surveys"] for asset in raw(survey)]


def curated() -> list[Asset]:
    """Assets that `build_catalog` makes."""
    return assets("curated", *profile()["curated"], "crossmatch", "associations", "objects", "photometry")


def features() -> list[Asset]:
    """Assets that models read to score."""
    return assets("features", *profile().get("features", ("sed", "spectra", "lightcurves")))


def models() -> list[Asset]:
    """One asset per model: its current version."""
    return assets("models", *(name.replace("-", "_") for name in profile()["models"]))


def scores() -> list[Asset]:
    """One asset per model: what it says of the catalogue."""
    return assets("scores", *(name.replace("-", "_") for name in profile()["models"]), "catalog")
