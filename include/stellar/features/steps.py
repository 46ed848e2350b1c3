"""The feature steps of a profile."""

from __future__ import annotations

from stellar.engine.step import Step
from stellar.features.labels import labels_step, plain_labels_step
from stellar.profile import Profile, load_curated


def feature_steps(profile: Profile) -> list[Step]:
    """One step per feature dataset of the profile."""
    from stellar.features.lightcurves import lightcurves_step
    from stellar.features.objects import ASSOCIATIONS
    from stellar.features.sed import sed_step
    from stellar.features.spectra import spectra_step

    steps = []
    for subject, one in profile.features.items():
        if one.source is None:
            steps.append(sed_step(profile))
            continue
        dataset, source = f"features.{subject}", f"curated.{one.source}"
        if one.kind == "spectra":
            steps.append(spectra_step(dataset, source, survey=one.source))
        else:
            # Curves without a position belong to no object of the sky: they are their own.
            known = ASSOCIATIONS if load_curated(one.source).layout == "rows" else None
            steps.append(lightcurves_step(dataset, source, survey=one.source, associations=known))
    return steps


def label_steps(profile: Profile) -> list[Step]:
    """Training labels joined to objects, and those of datasets without positions where there are any."""
    plain = plain_labels_step(profile)
    return [labels_step(profile), *([plain] if plain else [])]
