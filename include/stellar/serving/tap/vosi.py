"""What the service says of itself: VOSI 1.1 capabilities, tables and availability, with TAPRegExt 1.0.

https://www.ivoa.net/documents/VOSI/20170524/, https://www.ivoa.net/documents/TAPRegExt/20120827/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from stellar.serving.results import Column

from .adql.names import Table
from .formats import FORMATS
from .published import TAP_SCHEMA, Key, described, keys_of, schemas_of, written, written_column

if TYPE_CHECKING:
    from stellar.settings import Settings

_DECLARED = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_EXTENSION = "ivo://ivoa.net/std/TAPRegExt"
_FEATURES = {
    "features-adqlgeo": (
        *("POINT", "CIRCLE", "BOX", "POLYGON", "CONTAINS", "INTERSECTS", "DISTANCE", "AREA"),
        *("CENTROID", "COORD1", "COORD2", "COORDSYS"),
    ),
    "features-adql-string": ("LOWER", "UPPER", "ILIKE"),
    "features-adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    "features-adql-common-table": ("WITH",),
    "features-adql-type": ("CAST",),
    "features-adql-unit": ("IN_UNIT",),
    "features-adql-offset": ("OFFSET",),
}
_STANDARD_FORMATS = {
    "votable_b2": "#output-votable-binary2",
    "votable_td": "#output-votable-td",
    "votable_xml": "#output-votable-td",
}


def capabilities(settings: Settings, base: str) -> str:
    """The document of `/capabilities`.

    Parameters
    ----------
    settings : Settings
    base : str
        Address of the service, without a slash at its end.
    """
    features = "".join(
        f'<languageFeatures type="{_EXTENSION}#{kind}">\n'
        + "".join(f"<feature><form>{form}</form></feature>\n" for form in forms)
        + "</languageFeatures>\n"
        for kind, forms in _FEATURES.items()
    )
    outputs = "".join(
        f"<outputFormat{_id(one.key)}><mime>{escape(one.mime)}</mime><alias>{escape(one.alias)}</alias></outputFormat>\n"
        for one in FORMATS
    )
    kept = int(settings.tap_keep_days * 86_400)
    rows = min(settings.tap_rows, settings.tap_rows_hard)
    return (
        f'{_DECLARED}<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" '
        f"{_XSI}>\n"
        '<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">\n'
        f'<interface role="std" version="1.1" xsi:type="vs:ParamHTTP"><accessURL use="base">{escape(base)}</accessURL>'
        "</interface>\n<language>\n<name>ADQL</name>\n"
        '<version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version>\n'
        '<version ivo-id="ivo://ivoa.net/std/ADQL#v2.1">2.1</version>\n'
        "<description>ADQL; angles are degrees, positions ICRS; division is of real numbers</description>\n"
        f"{features}</language>\n{outputs}"
        f'<uploadMethod ivo-id="{_EXTENSION}#upload-inline"/>\n<uploadMethod ivo-id="{_EXTENSION}#upload-http"/>\n'
        f"<retentionPeriod><default>{kept}</default><hard>{kept}</hard></retentionPeriod>\n"
        f"<executionDuration><default>{int(settings.tap_seconds_hard)}</default>"
        f"<hard>{int(settings.tap_seconds_hard)}</hard></executionDuration>\n"
        f'<outputLimit><default unit="row">{rows}</default>'
        f'<hard unit="row">{settings.tap_rows_hard}</hard></outputLimit>\n'
        f'<uploadLimit><hard unit="byte">{settings.tap_upload_mb << 20}</hard></uploadLimit>\n'
        "</capability>\n"
        + "".join(
            f'<capability standardID="{standard}">\n<interface xsi:type="vs:ParamHTTP"{role}>'
            f'<accessURL use="full">{escape(base)}/{name}</accessURL></interface>\n</capability>\n'
            for standard, name, role in (
                ("ivo://ivoa.net/std/VOSI#capabilities", "capabilities", ' role="std"'),
                ("ivo://ivoa.net/std/VOSI#availability", "availability", ' role="std"'),
                ("ivo://ivoa.net/std/VOSI#tables-1.1", "tables", ' role="std" version="1.1"'),
                ("ivo://ivoa.net/std/DALI#examples", "examples", ""),
            )
        )
        + "</vosi:capabilities>\n"
    )


def tableset(tables: Sequence[Table], *, columns: bool = True) -> str:
    """The document of `/tables`."""
    keys = keys_of(tables)
    schemas = "".join(
        f"<schema>\n<name>{escape(name)}</name>\n<description>{escape(described(name))}</description>\n"
        + "".join(_table(table, keys, columns=columns) for table in held)
        + "</schema>\n"
        for name, held in schemas_of(tables).items()
    )
    return f"{_DECLARED}<vosi:tableset {_NAMES}>\n{schemas}</vosi:tableset>\n"


def one_table(table: Table, tables: Sequence[Table]) -> str:
    """The document of `/tables/<name>`."""
    return _DECLARED + _table(table, keys_of(tables), columns=True, root=True)


def availability(since: str, problem: str = "") -> str:
    """The document of `/availability`."""
    note = f"<vosi:note>{escape(problem)}</vosi:note>\n" if problem else ""
    return (
        f'{_DECLARED}<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">\n'
        f"<vosi:available>{str(not problem).lower()}</vosi:available>\n<vosi:upSince>{since}</vosi:upSince>\n{note}"
        "</vosi:availability>\n"
    )


def examples(found: Sequence[tuple[str, str, str]]) -> str:
    """The document of `/examples` (DALI 1.1, 2.3) of (name, question, ADQL)."""
    shown = "".join(
        f'<div typeof="example" id={quoteattr(name)} resource={quoteattr("#" + name)}>\n'
        f'<h2 property="name">{escape(question)}</h2>\n<pre property="query">{escape(text)}</pre>\n</div>\n'
        for name, question, text in found
    )
    return (
        f"{_DECLARED}<!DOCTYPE html>\n"
        '<html xmlns="http://www.w3.org/1999/xhtml">\n<head><title>Examples</title></head>\n'
        f'<body>\n<div vocab="http://www.ivoa.net/rdf/examples#">\n<h1>Examples</h1>\n{shown}</div>\n</body>\n</html>\n'
    )


_NAMES = (
    f'xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" {_XSI}'
)


def _id(key: str) -> str:
    return f' ivo-id="{_EXTENSION}{_STANDARD_FORMATS[key]}"' if key in _STANDARD_FORMATS else ""


def _table(table: Table, keys: Sequence[Key], *, columns: bool, root: bool = False) -> str:
    kind = "table" if table.name.startswith(f"{TAP_SCHEMA}.") else "view"
    text = f"<name>{escape(written(table.name))}</name>\n{_element('description', table.description)}"
    if columns:
        text += "".join(map(_column, table.columns))
        text += "".join(
            f"<foreignKey>\n<targetTable>{key.target}</targetTable>\n<fkColumn><fromColumn>{key.column}</fromColumn>"
            f"<targetColumn>{key.target_column}</targetColumn></fkColumn>\n"
            f"{_element('description', key.description)}</foreignKey>\n"
            for key in keys
            if key.table == table.name
        )
    if root:
        return f'<vosi:table {_NAMES} type="{kind}">\n{text}</vosi:table>\n'
    return f'<table type="{kind}">\n{text}</table>\n'


def _column(column: Column) -> str:
    given = {"arraysize": column.arraysize, "extendedType": column.xtype}
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in given.items() if value)
    flags = "".join(f"<flag>{name}</flag>" for name in ("indexed", "principal") if getattr(column, name))
    return (
        f'<column std="{str(column.std).lower()}">\n<name>{escape(written_column(column.name))}</name>\n'
        + _element("description", column.description)
        + _element("unit", column.unit)
        + _element("ucd", column.ucd)
        + _element("utype", column.utype)
        + f'<dataType xsi:type="vs:VOTableType"{attributes}>{column.datatype}</dataType>\n{flags}</column>\n'
    )


def _element(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>\n" if value else ""
