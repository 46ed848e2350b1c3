"""MAST: the portal's Mashup requests (CAOM and TIC) and the download of products. https://mast.stsci.edu/api/v0/"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from stellar.archive.columns import TABLES, Column
from stellar.archive.service.adql.functions import distance
from stellar.archive.service.adql.lexer import QueryError
from stellar.archive.service.catalogue import Catalogue
from stellar.archive.tess_fits import lightcurve_fits

_OWN = ("productFilename", "size", "tmag")  # of the products, or the simulation's own: not CAOM's
_CAOM = [column for column in TABLES["tess_observations"] if column.name not in _OWN]
_TIC = list(TABLES["tic"])
_PRODUCTS = """SELECT obsid AS "obsID", obs_collection, dataproduct_type, obs_id, 'Light curve' AS description,
  'S' AS type, dataURL AS "dataURI", 'SCIENCE' AS "productType",
  'Minimum Recommended Products' AS "productGroupDescription", 'LC' AS "productSubGroupDescription",
  CAST(NULL AS VARCHAR) AS "productDocumentationURL", provenance_name AS project, 'v1' AS prvversion, proposal_id,
  "productFilename", size, obsid AS "parent_obsid", "dataRights", calib_level, filters
  FROM tess_observations WHERE obsid IN (SELECT unnest(?)) ORDER BY obsid, "dataURI" """
_TIC_SERVICES = {
    "Mast.Catalogs.Filtered.Tic",
    "Mast.Catalogs.Filtered.Tic.Rows",
    "Mast.Catalogs.Filtered.Tic.Position",
    "Mast.Catalogs.Filtered.Tic.Position.Rows",
    "Mast.Catalogs.Tic.Cone",
}
_MASHUP_TYPES = {"string": "string", "bool": "boolean", "int32": "int", "int64": "int", "int16": "int",
                 "double": "float", "float": "float"}  # fmt: skip
_VOT_TYPES = {"string": "char", "bool": "boolean", "int": "int", "float": "double"}


def mast_router(catalogue: Catalogue) -> APIRouter:
    """The portal's endpoints."""
    router = APIRouter()

    @router.post("/portal/Mashup/Mashup.asmx/columnsconfig")
    async def columns_config(request: Request) -> Response:
        name = parse_qs((await request.body()).decode()).get("colConfigId", [""])[0]
        if name in ("Mast.Caom.Cone", "Mast.Caom.Filtered", "Mast.Caom.Filtered.Position"):
            columns = [*_CAOM, Column("distance", pa.float64(), "arcsec")]
        elif name == "Mast.Caom.Products":
            columns = [Column(f.name, f.type) for f in catalogue.rows(_PRODUCTS, [[]]).schema]
        elif name.startswith("Mast.Catalogs."):
            columns = [*_TIC, Column("dstArcSec", pa.float64(), "arcsec")]
        else:
            return JSONResponse({})
        return JSONResponse({column.name: _config(column) for column in columns})

    @router.post("/api/v0/invoke")
    async def invoke(request: Request) -> Response:
        try:
            asked = json.loads(parse_qs((await request.body()).decode())["request"][0])
            answer = await run_in_threadpool(_invoke, catalogue, asked)
        except (QueryError, KeyError, ValueError, TypeError) as error:
            return JSONResponse(
                {"status": "ERROR", "msg": f"{type(error).__name__}: {error}", "data": [], "fields": []}
            )
        return JSONResponse(answer)

    @router.api_route("/api/v0.1/Download/file", methods=["GET", "HEAD"])
    def download(request: Request, uri: str) -> Response:
        found = catalogue.rows("SELECT size FROM tess_observations WHERE dataURL = ?", [uri])
        if not found.num_rows:
            return Response(f"no product {uri}", 404)
        headers = {"Content-Disposition": f'attachment; filename="{uri.rpartition("/")[2]}"'}
        if request.method == "HEAD":
            headers["Content-Length"] = str(found["size"][0].as_py())
            return Response(None, headers=headers, media_type="application/fits")
        return Response(lightcurve_fits(catalogue.folder, uri), headers=headers, media_type="application/fits")

    return router


def _config(column: Column) -> dict[str, Any]:
    kind = _VOT_TYPES[_MASHUP_TYPES[str(column.type)].replace("boolean", "bool")]
    described = {"text": column.name, "vot.datatype": kind, "vot.description": column.description}
    return described | ({"vot.unit": column.unit, "unit": column.unit} if column.unit else {})


def _invoke(catalogue: Catalogue, asked: dict[str, Any]) -> dict[str, Any]:
    service, params = asked["service"], asked.get("params", {})
    if service in ("Mast.Catalogs.All.Tic", "Mast.Caom.All"):
        histograms: dict[str, Any] = {"discreteHistogram": {}, "continuousHistogram": {}}
        return {
            "status": "COMPLETE",
            "msg": "",
            "data": {"Tables": [{"ExtendedProperties": histograms, "Columns": []}]},
        }
    if service == "Mast.Caom.Products":
        ids = [part.strip() for part in str(params["obsid"]).split(",") if part.strip()]
        return _page(catalogue, _PRODUCTS, [ids], asked)
    if service in ("Mast.Caom.Filtered", "Mast.Caom.Filtered.Position", "Mast.Caom.Cone"):
        return _rows(catalogue, "tess_observations", _CAOM, ("s_ra", "s_dec", "distance"), "obsid", asked)
    if service in _TIC_SERVICES:
        return _rows(catalogue, "tic", _TIC, ("ra", "dec", "dstArcSec"), "ID", asked)
    raise QueryError(f"service {service!r} is not served")


def _rows(
    catalogue: Catalogue,
    table: str,
    columns: Sequence[Column],
    position: tuple[str, str, str],
    key: str,
    asked: dict[str, Any],
) -> dict[str, Any]:
    """Rows of a table by the request's filters and cone."""
    ra, dec, separation = position
    params = asked.get("params", {})
    names = {column.name.lower(): column for column in columns}
    where, values = [], []
    for entry in params.get("filters", []):
        condition, given = _condition(names, entry)
        where.append(condition)
        values += given
    selected = ", ".join(f'"{column.name}"' for column in columns)
    cone = _cone(params)
    if cone:
        arc = distance((ra, dec), (repr(cone[0]), repr(cone[1])))
        where.append(f"{arc} <= {cone[2]!r}")
        selected += f", 3600 * {arc} AS {separation}"
    if str(params.get("columns", "*")).upper().startswith("COUNT_BIG"):
        selected, key = 'count(*) AS "Column1"', "1"
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    return _page(catalogue, f"SELECT {selected} FROM {table}{condition} ORDER BY {key}", values, asked)  # noqa: S608


def _cone(params: dict[str, Any]) -> tuple[float, float, float] | None:
    if "position" in params:
        ra, dec, radius = (float(part) for part in str(params["position"]).split(","))
        return ra, dec, radius
    if "ra" in params:
        return float(params["ra"]), float(params["dec"]), float(params.get("radius", 0.2))
    return None


def _condition(names: dict[str, Column], entry: dict[str, Any]) -> tuple[str, list[Any]]:
    """One filter of the Mashup as SQL with parameters: values are alternatives, a range is {min, max}."""
    name = str(entry["paramName"])
    if name.lower() not in names:
        raise QueryError(f"filter {name!r}: no such column")
    column = f'"{names[name.lower()].name}"'
    alternatives: list[str] = []
    values: list[Any] = []
    for value in entry.get("values", []):
        if isinstance(value, dict):
            alternatives.append(f"{column} BETWEEN ? AND ?")
            values += [float(value["min"]), float(value["max"])]
    plain = [str(value) for value in entry.get("values", []) if not isinstance(value, dict)]
    if plain:
        alternatives.append(f"CAST({column} AS VARCHAR) IN (SELECT unnest(?))")
        values.append(plain)
    if entry.get("freeText"):
        alternatives.append(f"CAST({column} AS VARCHAR) ILIKE ?")
        values.append(str(entry["freeText"]))
    return f"({' OR '.join(alternatives)})" if alternatives else "FALSE", values


def _page(catalogue: Catalogue, sql: str, values: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
    """One page of rows, with the fields' types and the paging that the client walks by."""
    size, page = max(1, int(asked.get("pagesize", 50_000))), max(1, int(asked.get("page", 1)))
    table = catalogue.rows(sql, values)
    pages = max(1, -(-table.num_rows // size))
    shown = table.slice((page - 1) * size, size)
    return {
        "status": "COMPLETE",
        "msg": "",
        "data": shown.to_pylist(),
        "fields": [{"name": field.name, "type": _MASHUP_TYPES[str(field.type)]} for field in table.schema],
        "paging": {
            "page": page,
            "pageSize": size,
            "pagesFiltered": pages,
            "rows": shown.num_rows,
            "rowsFiltered": table.num_rows,
            "rowsTotal": table.num_rows,
        },
    }
