"""Parquet on disk: HATS catalogues and plain datasets, written, read, verified, searched and queried with SQL.

import stellar.lake

lake = stellar.lake.open()                                 # the home's current datasets
lake.cone("curated.gaia", ra, dec, radius_deg=10 / 3600)   # an Arrow table, nearest first
stellar.lake.cone("/data/any/hats/catalogue", ra, dec, 0.5)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .home import Lake
    from .home import open_lake as open
    from .ids import by_id
    from .read import Catalog
    from .search import box, cone, iter_box, iter_cone, iter_polygon, polygon

__all__ = [
    "Catalog",
    "Lake",
    "box",
    "by_id",
    "cone",
    "iter_box",
    "iter_cone",
    "iter_polygon",
    "open",
    "polygon",
]

# Loaded when first used: most commands need none of them.
_WHERE = {"Catalog": "read", "Lake": "home", "by_id": "ids", "open": "home"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_WHERE.get(name, 'search')}", __name__)
    value = globals()[name] = getattr(module, "open_lake" if name == "open" else name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
