"""Models that other models are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stellar.errors import InputError
from stellar.models.base import Model, ParameterError, create


def new_member(
    owner: Model,
    at: Sequence[str | int],
    about: Mapping[str, Any],
    *,
    keys: Collection[str],
    features: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
) -> Model:
    """Unfitted member as the parameters of its owner describe it.

    Parameters
    ----------
    at : sequence
        Where it stands in `params`.
    about : mapping
        `architecture`, and what else of `keys` it has; `params` are its own.
    keys : collection of str
        That it may have.
    features, targets : sequence of str, optional
        The owner's where not given, features as `columns` chooses them.

    Raises
    ------
    ParameterError
        When a key is not known, `architecture` lacks, or one of its parameters is wrong.
    InputError
        When `columns` names one that the owner does not read.
    """
    where = " ".join(str(one + 1) if isinstance(one, int) else one.removesuffix("s") for one in at)
    unknown = sorted(set(about) - {*keys, "architecture", "params"})
    if unknown or "architecture" not in about:
        wrong = f"unknown key {', '.join(unknown)}" if unknown else "no `architecture`"
        known = ", ".join(sorted({*keys, "architecture", "params"}))
        raise ParameterError(f"{owner.architecture}: {where}: {wrong}; it has {known}", *at, *unknown[:1])
    columns = about.get("columns") or owner.features
    if strange := sorted({*columns, *about.get("needs", ())} - {*owner.features}):
        raise InputError(f"{owner.architecture}: {where}: {', '.join(strange)} not among `columns`")
    chosen = owner.targets if targets is None else targets
    try:
        return create(about["architecture"], features=features or columns, targets=chosen, **about.get("params", {}))
    except ParameterError as fault:
        raise ParameterError(str(fault), *at, "params", *fault.at) from None
