"""The feature steps of a profile."""

from __future__ import annotations

from typing import Any

from stellar.engine.step import Step
from stellar.features.labels import labels_step, plain_labels_step
from stellar.profile import Profile, load_curated


def feature_steps(profile: Profile) -> list[Step]:
    """One step per feature dataset of the profile."""
    from stellar.features.lightcurves import MAGNITUDES, lightcurves_step
    from stellar.features.objects import ASSOCIATIONS
    from stellar.features.sed import sed_step
    from stellar.features.spectra import spectra_step
    from stellar.features.template_spectra import templates_step
    from stellar.features.velocity import DEFAULTS as VELOCITY

    libraries = [load_curated(name) for name in sorted(VELOCITY["libraries"]) if name in profile.curated]
    steps = []
    for subject, one in profile.features.items():
        if one.source is None:
            steps.append(sed_step(profile))
            continue
        source = load_curated(one.source)
        names: dict[str, Any] = {
            "dataset": f"features.{subject}",
            "source": f"curated.{one.source}",
            "survey": one.source,
        }
        if one.kind == "spectra" and source.layout == "plain":
            # Spectra without a position are templates: objects of their own, as curves without a position are.
            steps.append(templates_step(f"features.{subject}", source))
            continue
        if one.kind == "spectra":
            steps.append(spectra_step(**names, margin_arcsec=profile.chain_arcsec, libraries=libraries))
            continue
        step = lightcurves_step(
            **names,
            # Curves without a position belong to no object of the sky: they are their own.
            associations=ASSOCIATIONS if source.layout == "rows" else None,
            margin_arcsec=profile.chain_arcsec,
            params={**(MAGNITUDES if source.has("mag") else {}), **({"stitch": True} if one.stitch else {})},
        )
        steps.append(step)
    return steps


def label_steps(profile: Profile) -> list[Step]:
    """Training labels joined to objects, and those of datasets without positions where there are any."""
    plain = plain_labels_step(profile)
    return [labels_step(profile), *([plain] if plain else [])]
