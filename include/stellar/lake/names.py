"""Names of datasets as users give them."""

from __future__ import annotations

import re

from stellar.errors import InputError

#: The layer of users' own tables: what they import, and what they cross-match.
OWN = "own"

_PART = re.compile(r"[a-z][a-z0-9_]*")


def full_name(name: str) -> str:
    """A dataset's name with its layer; without one, it is a table of the user's own.

    Raises
    ------
    InputError
        When it is no name: lower-case letters, digits and `_`, a letter first, at most one dot.
    """
    layer, dot, subject = name.rpartition(".")
    if not dot:
        layer = OWN
    if not (_PART.fullmatch(layer) and _PART.fullmatch(subject)):
        raise InputError(
            f"{name!r} is no name of a dataset: it is like gaia_bright or own.gaia_bright (lower-case letters, digits "
            "and _, a letter first)"
        )
    return f"{layer}.{subject}"


def own_name(name: str) -> str:
    """The full name of a table of the user's own.

    Raises
    ------
    InputError
        When it is no name, or one in another layer.
    """
    full = full_name(name)
    if not full.startswith(f"{OWN}."):
        raise InputError(f"{full}: what you import or cross-match becomes {OWN}.NAME; give the NAME without a layer")
    return full
