"""TESS light curves by `astroquery.mast` and lightkurve's readers: units are targets of a sector, dealt by TIC id.

One query brings all observations of a sector and one their products; lightkurve's own search would ask MAST once per
star, on a host that cannot be chosen.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa
import requests
from astropy.io import fits
from pydantic import Field

from stellar.errors import InputError
from stellar.settings import Settings
from stellar.surveys.base import Fetched, Region, Scope, WorkUnit, digest, missing
from stellar.surveys.http import checks
from stellar.surveys.http.checks import AnswerError
from stellar.surveys.http.columns import schema_of
from stellar.surveys.http.fits import native, open_fits
from stellar.surveys.http.survey import (
    Endpoint,
    SyncConfig,
    capped,
    circles,
    in_scope,
    load_config,
    open_transport,
    pooled,
    scope_params,
    tag_of,
    vanished,
)
from stellar.surveys.http.transport import UnitSession, combined_sha256

DATASET = "tess_lightcurves"
PRODUCTS_AT_ONCE = 1000  # observations per query of products
_HEADER = {
    "ra": "RA_OBJ", "dec": "DEC_OBJ", "pmra": "PMRA", "pmdec": "PMDEC", "tmag": "TESSMAG", "teff": "TEFF",
    "logg": "LOGG", "mh": "MH", "radius": "RADIUS", "camera": "CAMERA", "ccd": "CCD",
}  # fmt: skip


class TessConfig(SyncConfig):
    """`sync:` of `config/surveys/tess.yaml`."""

    collection: str
    provenance: str
    sectors: list[int]
    chunk: int = Field(gt=0)
    columns: dict[str, str]


def open_survey(settings: Settings, profile: Mapping[str, Any] | None = None) -> TessSurvey:
    """TESS light curves at the service of the settings."""
    return TessSurvey(settings, load_config("tess", TessConfig))


class TessSurvey:
    """Dataset `tess_lightcurves`: one row per star and sector, the measurements as lists."""

    name = "tess"
    datasets = (DATASET,)
    id_columns: Mapping[str, str] = {DATASET: "obs_id"}

    def __init__(self, settings: Settings, config: TessConfig) -> None:
        self.config = config
        self.threads = settings.http_concurrency
        self.endpoint = Endpoint.of(settings, settings.mast_service)
        self.transport = open_transport(settings, self.name, self.endpoint, config)
        self.schema = schema_of(config.columns)

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Chunks of targets, by sector, whose products differ (in number, size, date or version) from what was done."""
        if scope.release not in (None, self.config.release):
            raise InputError(f"tess: release {scope.release!r} is not known; known: {self.config.release}")
        session = self.transport.session("plan", "", _check)
        client = _client(session, self.endpoint.url)
        observations = session.attempt(lambda: self._observations(client, circles(scope, self.endpoint, self.name)))
        if scope.magnitude_limit is not None:
            bright = session.attempt(lambda: _bright(session, self.endpoint.url, observations, scope.magnitude_limit))
            observations = [row for row in observations if row["target_name"] in bright]
        products = session.attempt(lambda: _products(client, [row["obsid"] for row in observations]))
        units = self._chunks(scope, observations, products)
        units += [
            self._unit(scope, name.partition("@")[0], []) for name in vanished(units, done, DATASET, tag_of(scope))
        ]
        return missing(capped(units, scope.row_cap), done)

    def fetch(self, unit: WorkUnit) -> Fetched:
        """The light curves of one chunk."""
        session = self.transport.session(unit.unit, unit.sign, _check, _cacheable)
        client = _client(session, self.endpoint.url)
        wanted = unit.params["products"][: unit.params["count"]]
        read = _lightkurve_reader()
        found = pooled(lambda product: self._light_curve(session, client, read, product), wanted, self.threads)
        arrays = [pa.array([row[field.name] for row, _ in found], field.type) for field in self.schema]
        rows = in_scope(pa.Table.from_arrays(arrays, schema=self.schema), Scope.from_dict(unit.params["scope"]))
        if self.transport.cache:
            self.transport.cache.prune()
        query = f"{self.config.collection} {self.config.provenance} light curves: " + " ".join(p["uri"] for p in wanted)
        digests = [digest_of for _, digest_of in found] or [hashlib.sha256(b"").hexdigest()]
        return Fetched(rows, self.endpoint.url, query, unit.params, combined_sha256(digests))

    # -- plan ---------------------------------------------------------------------------------------------------
    def _observations(self, client: Any, regions: list[Region]) -> list[dict[str, Any]]:
        """All observations of the scope, each once."""
        criteria: dict[str, Any] = {
            "obs_collection": self.config.collection,
            "provenance_name": self.config.provenance,
            "dataproduct_type": "timeseries",
        }
        if self.config.sectors:
            criteria["sequence_number"] = [str(sector) for sector in self.config.sectors]
        places: Iterable[dict[str, Any]] = [
            {"coordinates": f"{region.ra!r} {region.dec!r}", "radius": region.radius_deg} for region in regions
        ] or [{}]
        found: dict[str, dict[str, Any]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # «Query returned no results» is an answer like others
            for place in places:
                for row in client.query_criteria(**criteria, **place):
                    found[str(row["obsid"])] = {
                        "obsid": str(row["obsid"]),
                        "target_name": str(row["target_name"]),
                        "sector": int(row["sequence_number"]),
                        "released": float(row["t_obs_release"]),
                    }
        return list(found.values())

    def _chunks(
        self, scope: Scope, observations: list[dict[str, Any]], products: Mapping[str, list[dict[str, Any]]]
    ) -> list[WorkUnit]:
        """Units: a sector's light curves are dealt to 1, 2, 4 ... chunks, so that a few more change no unit's name."""
        by_sector = defaultdict(list)
        for row in observations:
            for product in products.get(row["obsid"], []):
                by_sector[row["sector"]].append(
                    {**product, "ticid": int(row["target_name"]), "sector": row["sector"], "released": row["released"]}
                )
        units = []
        for sector, found in sorted(by_sector.items()):
            chunks = 1
            while chunks * self.config.chunk < len(found):
                chunks *= 2
            dealt = defaultdict(list)
            for product in sorted(found, key=lambda product: (product["ticid"], product["uri"])):
                dealt[int(digest(product["ticid"]), 16) % chunks].append(product)
            units += [self._unit(scope, f"s{sector:04d}-{at}of{chunks}", dealt[at]) for at in sorted(dealt)]
        return units

    def _unit(self, scope: Scope, name: str, products: list[dict[str, Any]]) -> WorkUnit:
        count = len(products)
        sign = f"{count}-{digest(self.config.release, products, self.schema.names)}" if count else "0"
        params = {"products": products, "count": count, "scope": scope_params(scope)}
        expected = None if scope.cells else count
        return WorkUnit("tess", DATASET, self.config.release, name + tag_of(scope), sign, params, expected)

    # -- fetch --------------------------------------------------------------------------------------------------
    def _light_curve(
        self, session: UnitSession, client: Any, read: Callable[[fits.HDUList], Any], product: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str]:
        """One file as a row, and its SHA-256."""
        url = f"{client._portal_api_connection.MAST_DOWNLOAD_URL}?uri={quote(product['uri'], safe=':/')}"
        response = session.request("GET", url)
        with session.verified(response) as hdus:
            curve = read(hdus)
        meta = curve.meta
        if int(meta["TICID"]) != product["ticid"] or int(meta["SECTOR"]) != product["sector"]:
            session.forget(response)
            raise session.error(f"{product['uri']} is of TIC {meta['TICID']}, sector {meta['SECTOR']}")
        row: dict[str, Any] = {name: _number(meta.get(key)) for name, key in _HEADER.items()}
        row |= {
            "obsid": product["obsid"],
            "obs_id": product["obs_id"],
            "product": product["uri"],
            "ticid": product["ticid"],
            "sector": product["sector"],
            "mission": str(meta.get("MISSION") or meta.get("TELESCOP") or "TESS"),
            "cadence_s": _cadence(meta),
            "time_btjd": native(curve.time.value, np.float64),
            "flux": native(_values(curve.flux), np.float32),
            "flux_err": native(_values(curve.flux_err), np.float32),
            "quality": native(curve.quality, np.int32),
        }
        return {name: row[name] for name in self.schema.names}, hashlib.sha256(response.content).hexdigest()


def _client(session: UnitSession, url: str) -> Any:
    """Astroquery's client on our session and host, which its own settings do not reach after import."""
    from astroquery.mast import ObservationsClass

    client = ObservationsClass()
    client._session = session
    portal = client._portal_api_connection
    portal._session = session
    portal.MAST_REQUEST_URL = f"{url}/api/v0/invoke"
    portal.COLUMNS_CONFIG_URL = f"{url}/portal/Mashup/Mashup.asmx/columnsconfig"
    portal.MAST_DOWNLOAD_URL = f"{url}/api/v0.1/Download/file"
    return client


def _products(client: Any, obsids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Light-curve files by observation."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for start in range(0, len(obsids), PRODUCTS_AT_ONCE):
        for row in client.get_product_list(obsids[start : start + PRODUCTS_AT_ONCE]):
            uri = str(row["dataURI"])
            if uri.endswith("_lc.fits"):
                found[str(row["obsID"])].append(
                    {
                        "obsid": str(row["obsID"]),
                        "obs_id": str(row["obs_id"]),
                        "uri": uri,
                        "size": int(row["size"]),
                        "version": str(row["prvversion"]),
                    }
                )
    return dict(found)


def _bright(session: UnitSession, url: str, observations: list[dict[str, Any]], limit: float | None) -> set[str]:
    """Targets whose magnitude in the TESS Input Catalog is within the limit."""
    from astroquery.mast import CatalogsClass

    client = CatalogsClass()
    client._session = session
    portal = client._portal_api_connection
    portal._session = session
    portal.MAST_REQUEST_URL = f"{url}/api/v0/invoke"
    portal.COLUMNS_CONFIG_URL = f"{url}/portal/Mashup/Mashup.asmx/columnsconfig"
    targets = sorted({row["target_name"] for row in observations})
    bright: set[str] = set()
    for start in range(0, len(targets), PRODUCTS_AT_ONCE):
        for row in client.query_criteria(catalog="Tic", ID=targets[start : start + PRODUCTS_AT_ONCE]):
            if limit is None or (not np.ma.is_masked(row["Tmag"]) and float(row["Tmag"]) <= limit):
                bright.add(str(row["ID"]))
    return bright


def _lightkurve_reader() -> Callable[[fits.HDUList], Any]:
    """Lightkurve's reader for opened files, every cadence kept; loaded here, since the import takes seconds.

    It is the reader under `read_tess_lightcurve`, which would drop flagged cadences and copies the table twice.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightkurve.io.generic import read_generic_lightcurve

    return lambda hdus: read_generic_lightcurve(_Opened(hdus), flux_column="pdcsap_flux", time_format="btjd")


class _Opened(fits.HDUList):
    """HDUs that are not copied: the reader keeps them as the curve's FILENAME, which astropy then copies deeply."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Opened:
        return self


def _check(response: requests.Response) -> fits.HDUList | None:
    """Files and JSON of MAST."""
    checks.not_html(response)
    if urlsplit(response.url).path.endswith("/Download/file"):
        return open_fits(response.content)
    answer = checks.json_object(response.content)
    if answer.get("status") == "ERROR":
        raise AnswerError(f"MAST: {answer.get('msg')}")
    return None


def _cacheable(method: str, url: str) -> bool:
    return method == "GET" and "/Download/file" in url


def _values(quantity: Any) -> np.ndarray:
    values = getattr(quantity, "value", quantity)
    return values.filled(np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _number(value: Any) -> Any:
    """A header's number; blank and undefined cards are null."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _cadence(meta: Mapping[str, Any]) -> float | None:
    """Seconds between cadences: TIMEDEL is in days."""
    days = _number(meta.get("TIMEDEL"))
    return None if days is None else days * 86400.0
