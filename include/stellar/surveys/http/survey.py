"""What the surveys over HTTP share: configuration, endpoint, transport, regions in queries, units from counts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from stellar.checked_yaml import load_yaml
from stellar.errors import InputError, ServiceError
from stellar.settings import CONFIG, EMBEDDED, Settings
from stellar.surveys.base import Region, Scope, WorkUnit, digest
from stellar.surveys.http.cache import ResponseCache
from stellar.surveys.http.transport import Policy, Transport

T = TypeVar("T")
R = TypeVar("R")


class SyncConfig(BaseModel):
    """What `sync:` of every survey's YAML has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    release: str
    rate_per_s: float = Field(gt=0, description="Requests per second on a public service")
    deadline_s: float = Field(gt=0, description="Seconds for one unit, with all retries")
    cache_mb: int = Field(gt=0, description="Size of the cache of answers")


C = TypeVar("C", bound=SyncConfig)


def load_config(name: str, model: type[C]) -> C:
    """The `sync:` section of `config/surveys/<name>.yaml`."""
    from pydantic import create_model

    whole = create_model("SurveyFile", __config__=ConfigDict(extra="ignore"), sync=(model, ...))
    return load_yaml(CONFIG / "surveys" / f"{name}.yaml", whole).sync  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Endpoint:
    """Where a service is; `url` without a slash at its end."""

    url: str
    is_embedded: bool

    @classmethod
    def of(cls, settings: Settings, value: str, embedded_path: str = "") -> Endpoint:
        """The endpoint of a `*_service` setting: `embedded` is this home's running archive.

        Raises
        ------
        ServiceError
            When the embedded archive is asked for and not running.
        """
        if value != EMBEDDED:
            if not value.startswith(("https://", "http://")):
                raise InputError(f"service {value!r}: give `embedded` or a URL that starts with https://")
            return cls(value.rstrip("/"), False)
        path = settings.run / "archive.json"
        try:
            url = json.loads(path.read_text())["url"]
        except (OSError, ValueError, KeyError) as error:
            raise ServiceError(
                "embedded archive", "-", f"not running ({path} is missing); start it with `stellar up`"
            ) from error
        return cls(url.rstrip("/") + embedded_path, True)


def open_transport(settings: Settings, survey: str, endpoint: Endpoint, config: SyncConfig) -> Transport:
    """The survey's transport by settings and config; only public services are asked slowly."""
    policy = Policy(
        timeout_s=settings.http_timeout_s,
        retries=settings.http_retries,
        deadline_s=config.deadline_s,
        concurrency=settings.http_concurrency,
        rate_per_s=0.0 if endpoint.is_embedded else config.rate_per_s,
    )
    cache = ResponseCache(settings.cache / survey, config.cache_mb << 20)
    return Transport(f"{survey} at {endpoint.url}", policy, cache, settings.run / f"rate-{survey}")


def circles(scope: Scope, endpoint: Endpoint, survey: str) -> list[Region]:
    """Cones that cover the scope (a HEALPix cell by the circle around it); none for the whole survey.

    Raises
    ------
    InputError
        For the whole of a public survey, which nobody asks for on purpose.
    """
    if scope.everywhere and not endpoint.is_embedded:
        raise InputError(f"{survey}: a sync of the whole public archive; give regions or HEALPix cells")
    return [*scope.regions, *(_around(order, pixel) for order, pixel in scope.cells)]


def _around(order: int, pixel: int) -> Region:
    """The circle around a HEALPix cell: its farthest point from the centre is a corner, to which 1% is added."""
    import cdshealpix

    from stellar.sky.separation import separation_arcsec

    ra, dec = (float(x.deg[0]) for x in cdshealpix.healpix_to_lonlat([pixel], order))
    corners = cdshealpix.vertices([pixel], order)
    radius = max(separation_arcsec(ra, dec, x.deg.ravel(), y.deg.ravel()).max() for x, y in [corners])
    return Region(ra % 360, dec, min(180.0, float(radius) / 3600 * 1.01))


def in_scope(table: pa.Table, scope: Scope) -> pa.Table:
    """Rows of the scope. The service cuts regions; a cell was asked for by the circle around it and is cut here."""
    if not scope.cells or not table.num_rows:
        return table
    return table.filter(pa.array(scope.contains(table["ra"].to_numpy(), table["dec"].to_numpy())))


def tag_of(scope: Scope) -> str:
    """Short sign of a scope, empty for the whole survey: pieces cut differently are different units."""
    limits = (scope.regions, scope.cells, scope.magnitude_limit, scope.row_cap)
    return "" if limits == ((), (), None, None) else f"@{digest(replace(scope, release=None).to_dict())[:8]}"


def capped(units: Iterable[WorkUnit], row_cap: int | None) -> list[WorkUnit]:
    """Units up to the cap; the last one is told to bring only as many rows as are left (`params["top"]`)."""
    chosen, left = [], row_cap
    for unit in units:
        rows = unit.params["count"]
        if left is None:
            chosen.append(unit)
            continue
        if left <= 0:
            break
        if rows > left:
            unit = replace(unit, sign=f"{unit.sign}-top{left}", params={**unit.params, "top": left, "count": left})
            unit = replace(unit, expected_rows=left if unit.expected_rows is not None else None)
        chosen.append(unit)
        left -= rows
    return chosen


def vanished(units: Sequence[WorkUnit], done: Mapping[tuple[str, str], str], dataset: str, tag: str) -> list[str]:
    """Names of units done before in the same scope that the service has no rows for any more."""
    found = {unit.unit for unit in units if unit.dataset == dataset}
    return sorted(
        name
        for (of, name), sign in done.items()
        if of == dataset and "@" + name.partition("@")[2] == (tag or "@") and name not in found and sign != "0"
    )


def within(region: Region, ra: str = "ra", dec: str = "dec") -> str:
    """T-SQL and ADQL condition that a position lies in a cone, by plain trigonometry (for services without geometry).

    The declination strip lets an index help; the cosine is good to 1e-8 degrees from 0.01 degrees on.
    """
    low, high = max(-90.0, region.dec - region.radius_deg), min(90.0, region.dec + region.radius_deg)
    sine, cosine = math.sin(math.radians(region.dec)), math.cos(math.radians(region.dec))
    return (
        f"({dec} BETWEEN {low!r} AND {high!r} AND SIN(RADIANS({dec})) * {sine!r}"
        f" + COS(RADIANS({dec})) * {cosine!r} * COS(RADIANS({ra} - {region.ra!r}))"
        f" >= {math.cos(math.radians(region.radius_deg))!r})"
    )


def pooled(function: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """Results in order; the first exception ends it and cancels what has not started."""
    with ThreadPoolExecutor(max_workers=max(1, min(threads, len(items)))) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def scope_params(scope: Scope) -> dict[str, Any]:
    """The scope as a unit's parameter; `Scope.from_dict` reads it back."""
    return json.loads(json.dumps(replace(scope, release=None).to_dict()))
