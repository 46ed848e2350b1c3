"""Which steps a profile has, by stage. A stage is what one task group of a DAG builds and gates together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stellar.engine.context import Context
from stellar.engine.step import Step
from stellar.errors import InputError
from stellar.ledger import snapshots
from stellar.profile import Profile, load_profile

if TYPE_CHECKING:
    from stellar.registry.versions import Version
    from stellar.training.config import ModelConfig

# Stage -> DAG. Order is build order: a stage reads only what stages before it made.
STAGES: dict[str, str] = {
    "curate": "build_catalog",
    "match": "build_catalog",
    "associate": "build_catalog",
    "objects": "build_catalog",
    "photometry": "build_catalog",
    "features": "extract_features",
    "labels": "extract_features",
    "scores": "score_catalog",
    "merge": "score_catalog",
}


def profile_of(ctx: Context) -> Profile:
    """The profile that this home holds."""
    return load_profile(ctx.settings.profile)


def stage_steps(ctx: Context, stage: str, pinned: Mapping[str, str] | None = None) -> list[Step]:
    """The stage's steps whose primary input exists (a survey that was never synced has nothing to build).

    Parameters
    ----------
    pinned
        Dataset -> snapshot key of inputs that are built but not current yet.
    """
    if stage not in STAGES:
        raise InputError(f"there is no stage {stage!r}; the stages are {', '.join(STAGES)}")
    there = set(snapshots.current_keys(ctx.engine)) | set(pinned or {})

    def has_input(step: Step) -> bool:
        needed = [step.inputs[step.primary]] if step.primary else list(step.inputs.values())
        return any(one.dataset in there for one in needed)

    profile = profile_of(ctx)
    return [_with_margin(step, profile) for step in _STEPS[stage](ctx, profile) if has_input(step)]


def _with_margin(step: Step, profile: Profile) -> Step:
    """The step with margins kept with what it makes; datasets in buckets have none."""
    return step if step.layout == "plain" else replace(step, margin_arcsec=profile.margin_arcsec)


def _curate(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.catalog.curate import curate_step
    from stellar.ledger import decisions

    released = decisions.released(ctx.engine)
    return [curate_step(config, released.get(f"quarantine.{config.dataset}", ())) for config in profile.configs()]


def _match(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.catalog.crossmatch import crossmatch_step

    return [crossmatch_step(profile)]


def _associate(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.catalog.associations import associations_step

    return [associations_step(profile)]


def _objects(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.catalog.objects import objects_step

    return [objects_step(profile)]


def _photometry(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.catalog.photometry import photometry_step

    return [photometry_step(profile)]


def _features(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.features.steps import feature_steps

    return feature_steps(profile)


def _labels(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.features.steps import label_steps

    return label_steps(profile)


def _current(ctx: Context, profile: Profile) -> list[tuple[ModelConfig, Version]]:
    """The profile's models that have a current version; one that was never promoted scores nothing."""
    from stellar.registry import versions
    from stellar.training.config import load_config

    found = [(load_config(name, profile=profile.name), versions.current(ctx.engine, name)) for name in profile.models]
    return [(config, version) for config, version in found if version is not None]


def _scores(ctx: Context, profile: Profile) -> list[Step]:
    from stellar.scoring.score import score_step

    return [score_step(config, version, ctx.settings.artifacts) for config, version in _current(ctx, profile)]


def _merge(ctx: Context, profile: Profile) -> list[Step]:
    """The catalogue of the scores that belong to objects; a curated dataset's own rows belong to none yet."""
    from stellar.scoring.merged import merged_step

    of_objects = [
        config.scores
        for config, version in _current(ctx, profile)
        if version.config["on_sky"] and version.config["features"].startswith("features.")
    ]
    return [merged_step(of_objects, profile.chain_arcsec)] if of_objects else []


_STEPS = {
    "curate": _curate,
    "match": _match,
    "associate": _associate,
    "objects": _objects,
    "photometry": _photometry,
    "features": _features,
    "labels": _labels,
    "scores": _scores,
    "merge": _merge,
}
