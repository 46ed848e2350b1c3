"""Everything that is known of one star: its ids, position, photometry, scores, neighbours and where they came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.ledger import lineage

from .star_rows import ASSOCIATIONS, OBJECTS, Row, Rows, about_columns, plain

if TYPE_CHECKING:
    import pyarrow as pa

    from stellar.settings import Settings

NEIGHBOURS_ARCSEC = 30.0
MOST_NEIGHBOURS = 50
MOST_NEAR = 100
MERGED = "scores.catalog"
SHOWN_PROBABILITIES = 5
_HIDDEN = ("_healpix_29",)
_MK_TYPE = re.compile(r"[a-z][0-9]?")
_ALIASES = sa.text("SELECT new_id FROM lake.object_alias WHERE old_id = :id ORDER BY recorded_at DESC LIMIT 1")
_OLD_NAMES = sa.text("SELECT old_id, recorded_at FROM lake.object_alias WHERE new_id = :id ORDER BY recorded_at")
_VERSIONS = sa.text("SELECT key, model, number, state, architecture FROM registry.version WHERE model = :model")


def find(rows: Rows, star: str) -> tuple[str, list[Row]]:
    """The object that an id means, and its rows of `curated.associations`.

    Parameters
    ----------
    rows : Rows
    star : str
        An object's id, one that it had before, or any survey's own.

    Returns
    -------
    object_id : str
    sources : list of dict
        `survey, survey_id, separation_arcsec` of each survey's row; of a star without a position, of its own row.

    Raises
    ------
    InputError
        When nothing has the id, or several objects do.
    """
    star = star.strip()
    if not star:
        raise InputError("which star? give an object's id, a survey's id, or a position")
    found = _object(rows, star)
    if found is not None:
        return found
    with rows.engine.connect() as connection:
        renamed = connection.scalar(_ALIASES, {"id": star})
    if renamed is not None and (found := _object(rows, str(renamed))) is not None:
        return found
    owners = sorted({row["object_id"] for row in rows.by_id(ASSOCIATIONS, [star], ["object_id"], "survey_id")})
    if len(owners) == 1 and (found := _object(rows, owners[0])) is not None:
        return found
    if owners:
        raise InputError(
            f"{star} is an id of several stars, in different surveys: {', '.join(owners)}; take one of them"
        )
    without = _without_position(rows, star)
    if without:
        return star, without
    raise InputError(
        f"{star!r} is no object's id, no survey's id and no id in a dataset without positions; look for the star "
        "by its position, or by its ids in curated.associations"
    )


def near(settings: Settings, engine: sa.Engine, ra: float, dec: float, radius_arcsec: float) -> list[Row]:
    """Objects around a position, nearest first.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
    ra, dec : float
        Degrees, ICRS.
    radius_arcsec : float
        At most a degree.

    Returns
    -------
    list of dict
        `object_id, ra, dec, separation_arcsec` and what else tells one from another; at most `MOST_NEAR`.
    """
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius_arcsec <= 3600):
        raise InputError("give 0 <= ra <= 360, -90 <= dec <= 90 degrees and a radius of at most 3600 arcsec")
    return _near(Rows(settings, engine), ra, dec, radius_arcsec, MOST_NEAR)


def star(settings: Settings, engine: sa.Engine, wanted: str) -> dict[str, Any]:
    """What is known of a star, without its spectra, light curves and lineage.

    Returns
    -------
    dict
        `id`; `object` (its row of `curated.objects`) with `about` (units and descriptions); `sources`; `was`
        (former ids); `photometry`; `sed`; `scores`; `neighbours`; `missing` (what there is none of, and why).

    Raises
    ------
    InputError
        When the id means no star.
    """
    rows = Rows(settings, engine)
    object_id, sources = find(rows, wanted)
    found = rows.by_id(OBJECTS, [object_id])
    one = found[0] if found else {}
    with engine.connect() as connection:
        was = [row.old_id for row in connection.execute(_OLD_NAMES, {"id": object_id})]
    photometry = _photometry(rows, object_id)
    sed = rows.of_star("features.sed", object_id, sources)
    scored = scores(rows, object_id, sources)
    missing = []
    if not found:
        missing.append("no position: the survey gives none, so there is no object and nothing beside it")
    if not photometry:
        missing.append("no photometry: no survey of this star measured magnitudes" if found else "no photometry")
    if not scored:
        missing.append("no score: no current model takes what this star has")
    return {
        "id": object_id,
        "object": {name: plain(value) for name, value in one.items() if name not in _HIDDEN},
        "about": about_columns(rows.schema(OBJECTS)) if found else {},
        "sources": [{name: plain(value) for name, value in each.items()} for each in sources],
        "astrometry": _astrometry(rows, sources),
        "was": was,
        "photometry": photometry,
        "sed": _known(sed[0], rows.schema("features.sed")) if sed else [],
        "scores": scored,
        "neighbours": [
            each for each in _near(rows, one["ra"], one["dec"], NEIGHBOURS_ARCSEC, MOST_NEIGHBOURS + 1)
            if each["object_id"] != object_id
        ] if found else [],
        "missing": missing,
    }  # fmt: skip


def scores(rows: Rows, object_id: str, sources: list[Row]) -> list[dict[str, Any]]:
    """Every model's answer for a star.

    Returns
    -------
    list of dict
        `dataset, model, version, number, state, method, quantities` (name, value, lower, upper, unit), `classes`
        (name, value, probability, the most probable ones, the set), `novelty, flags, is_out_of_range`, and `of`, the
        row's own id.
    """
    found = []
    for dataset in rows.layer("scores"):
        if dataset == MERGED:
            continue
        schema = rows.schema(dataset)
        for row in rows.of_star(dataset, object_id, sources):
            found.append({"dataset": dataset, **score(row, schema), **_version(rows.engine, row),
                          "of": str(row[rows.id_column(dataset) or "object_id"])})  # fmt: skip
    return found


def score(row: Row, schema: pa.Schema) -> dict[str, Any]:
    """A row of scores by what its columns mean: quantities with intervals, classes with probabilities."""
    about = about_columns(schema)
    quantities = [
        {
            "name": name,
            "value": plain(row[name]),
            "lower": plain(row[f"{name}_lower"]),
            "upper": plain(row[f"{name}_upper"]),
            "unit": about.get(name, {}).get("unit", ""),
        }
        for name in row
        if f"{name}_lower" in row and f"{name}_upper" in row
    ]
    names = schema.names
    classes = []
    if "probability" in names:
        each = {
            name.removeprefix("probability_"): plain(row[name])
            for name in names
            if name.startswith("probability_") and row[name] is not None
        }
        name = names[names.index("probability") - 1]
        known = [row[name], *(row.get("prediction_set") or [])]
        best = sorted(each.items(), key=lambda item: -(item[1] or 0))[:SHOWN_PROBABILITIES]
        best = [(_spelled(column, known), share) for column, share in best]
        classes = [
            {
                "name": name,
                "value": plain(row[name]),
                "probability": plain(row["probability"]),
                "best": best,
                "set": plain(row.get("prediction_set")) or [],
            }
        ]
    rest = {key: plain(row.get(key)) for key in ("novelty", "flags", "is_out_of_range", "model", "model_version")}
    return {"quantities": quantities, "classes": classes, **rest}


def _spelled(column: str, known: list[str | None]) -> str:
    """A class as it is written: its column's name has small letters only."""
    as_columns = {re.sub(r"\W+", "_", one.lower()): one for one in known if one}
    return as_columns.get(column, column.upper() if _MK_TYPE.fullmatch(column) else column)


def star_lineage(settings: Settings, engine: sa.Engine, wanted: str) -> list[dict[str, Any]]:
    """Which batch and query brought each survey's row of a star.

    Returns
    -------
    list of dict
        `survey, survey_id, dataset` and, where the row names its batch, `batch, service, query, fetched_at, release`.
    """
    rows = Rows(settings, engine)
    _, sources = find(rows, wanted)
    found = []
    for one in sources:
        dataset = f"curated.{one['survey']}"
        brought: list[Row] = []
        if dataset in rows.datasets and "batch_id" in rows.schema(dataset).names:
            brought = rows.by_id(dataset, [str(one["survey_id"])], ["batch_id"])
        found.append({"survey": one["survey"], "survey_id": str(one["survey_id"]), "dataset": dataset,
                      "batch": brought[0]["batch_id"] if brought else None})  # fmt: skip
    facts = lineage.batches(engine, sorted({one["batch"] for one in found if one["batch"]}))
    told = ("service", "query", "fetched_at", "release", "unit")
    return [one | {key: facts.get(one["batch"], {}).get(key) for key in told} for one in found]


def _object(rows: Rows, object_id: str) -> tuple[str, list[Row]] | None:
    if OBJECTS not in rows.datasets or not rows.by_id(OBJECTS, [object_id], ["object_id"]):
        return None
    columns = ["survey", "survey_id", "separation_arcsec"]
    return object_id, sorted(
        rows.by_id(ASSOCIATIONS, [object_id], columns, "object_id"), key=lambda row: (row["survey"], row["survey_id"])
    )


def _without_position(rows: Rows, star_id: str) -> list[Row]:
    """Rows of curated datasets that are not on the sky: each is an object of its own, under its own id."""
    found = []
    for dataset in rows.layer("curated"):
        if rows.lake.catalog(dataset).is_hats or "ra" in rows.schema(dataset).names:
            continue
        column = rows.id_column(dataset)
        if column and rows.by_id(dataset, [star_id], [column]):
            survey = dataset.partition(".")[2]
            found.append({"survey": survey, "survey_id": star_id, "separation_arcsec": None})
    return found


def _near(rows: Rows, ra: float, dec: float, radius_arcsec: float, most: int) -> list[Row]:
    if OBJECTS not in rows.datasets:
        raise InputError(f"{OBJECTS} has no current snapshot; run build_catalog first")
    wanted = ["object_id", "ra", "dec", "class", "phot_g_mean_mag", "psfmag_r", "n_sources"]
    columns = [name for name in wanted if name in rows.schema(OBJECTS).names]
    found = rows.lake.cone(OBJECTS, ra % 360, dec, radius_arcsec / 3600, columns).slice(0, most)
    return [{name: plain(value) for name, value in row.items()} for row in found.to_pylist()]


def _photometry(rows: Rows, object_id: str) -> list[Row]:
    """Magnitudes and fluxes by survey and band, with the band's pivot wavelength."""
    from stellar.photometry.bands import load_bands

    bands = {one.id: one for one in load_bands().bands}
    columns = ["survey", "survey_id", "band", "mag", "mag_err", "system", "flux_cgs", "flux_cgs_err", "flux_jy",
               "is_saturated", "is_blended", "is_clean", "is_preferred", "quality"]  # fmt: skip
    found = []
    for row in rows.by_id("curated.photometry", [object_id], columns, "object_id"):
        band = bands.get(row["band"])
        about = {"name": band.name, "wavelength_angstrom": band.pivot_angstrom} if band else {"name": row["band"]}
        found.append({name: plain(value) for name, value in row.items()} | about)
    return sorted(found, key=lambda row: (row.get("wavelength_angstrom") or 0, row["survey"]))


def _astrometry(rows: Rows, sources: list[Row]) -> list[Row]:
    """Position, parallax and proper motion as each survey gives them."""
    wanted = ("ra", "dec", "epoch_yr", "parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error",
              "ruwe", "rv_kms", "z")  # fmt: skip
    found = []
    for one in sources:
        dataset = f"curated.{one['survey']}"
        if dataset not in rows.datasets:
            continue
        columns = [name for name in wanted if name in rows.schema(dataset).names]
        for row in rows.by_id(dataset, [str(one["survey_id"])], columns)[:1] if columns else []:
            found.append({"survey": one["survey"], **{name: plain(value) for name, value in row.items()}})
    return found


def _known(row: Row, schema: pa.Schema) -> list[dict[str, Any]]:
    """The values of a row that are known, with units and descriptions."""
    about = about_columns(schema)
    return [
        {"name": name, "value": plain(value), **about.get(name, {})}
        for name, value in row.items()
        if plain(value) is not None and name not in (*_HIDDEN, "object_id", "ra", "dec") and not name.endswith("_err")
    ]


def _version(engine: sa.Engine, row: Row) -> dict[str, Any]:
    with engine.connect() as connection:
        for one in connection.execute(_VERSIONS, {"model": row.get("model")}):
            if one.key.startswith(str(row.get("model_version"))):
                return {"version": one.key, "number": one.number, "state": one.state, "method": one.architecture}
    return {"version": row.get("model_version"), "number": None, "state": None, "method": None}
