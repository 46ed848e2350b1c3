"""What is published: datasets as tables, and TAP_SCHEMA, which tells of them and of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from stellar.lake.sql_text import dotted
from stellar.serving.results import Column, is_published, typed
from stellar.sky.healpix import INDEX_COLUMN

from .adql.names import Table
from .adql.parse import is_regular

if TYPE_CHECKING:
    from stellar.lake.read import Catalog

#: Layers of the lake that can be queried, and what each holds.
LAYERS = {
    "curated": "Surveys' rows, checked and with units, their matches, and the objects that they make",
    "features": "What models learn from: one row per object, light curve or spectrum",
    "scores": "What the current models say",
    "own": "Tables that users imported, and their cross-matches",
}
TAP_SCHEMA = "tap_schema"
#: Where the rows of what clients upload stand.
UPLOADS = "tap_upload"
_OBJECTS = "curated.objects"
_OBJECT_ID = "object_id"

_TEXT, _INTEGER = pa.string(), pa.int32()
_OWN: dict[str, tuple[str, dict[str, tuple[pa.DataType, str]]]] = {
    "schemas": (
        "Schemas of this service",
        {
            "schema_name": (_TEXT, "Name of the schema"),
            "utype": (_TEXT, "UType of the schema"),
            "description": (_TEXT, "What the schema holds"),
            "schema_index": (_INTEGER, "Order in which schemas are shown"),
        },
    ),
    "tables": (
        "Tables of this service",
        {
            "schema_name": (_TEXT, "Schema that the table is in"),
            "table_name": (_TEXT, "Name as queries write it"),
            "table_type": (_TEXT, "table or view"),
            "utype": (_TEXT, "UType of the table"),
            "description": (_TEXT, "What the table holds"),
            "table_index": (_INTEGER, "Order in which tables are shown"),
        },
    ),
    "columns": (
        "Columns of the tables",
        {
            "table_name": (_TEXT, "Table that the column is in"),
            "column_name": (_TEXT, "Name as queries write it"),
            "datatype": (_TEXT, "Type in VOTable"),
            "arraysize": (_TEXT, "Array size in VOTable"),
            "xtype": (_TEXT, "Extended type in VOTable"),
            "size": (_INTEGER, "Length of text of a fixed length"),
            "description": (_TEXT, "What the column says"),
            "utype": (_TEXT, "UType of the column"),
            "unit": (_TEXT, "Unit, in VOUnits"),
            "ucd": (_TEXT, "UCD"),
            "indexed": (_INTEGER, "1 where conditions on it are fast"),
            "principal": (_INTEGER, "1 where the column is of first interest"),
            "std": (_INTEGER, "1 where a standard defines it"),
            "column_index": (_INTEGER, "Order in which columns are shown"),
        },
    ),
    "keys": (
        "Foreign keys of the tables",
        {
            "key_id": (_TEXT, "Name of the key"),
            "from_table": (_TEXT, "Table that refers"),
            "target_table": (_TEXT, "Table that is referred to"),
            "utype": (_TEXT, "UType of the key"),
            "description": (_TEXT, "What the key says"),
        },
    ),
    "key_columns": (
        "Columns of the foreign keys",
        {
            "key_id": (_TEXT, "Name of the key"),
            "from_column": (_TEXT, "Column that refers"),
            "target_column": (_TEXT, "Column that is referred to"),
        },
    ),
}

_OWN_KEYS = (
    ("tables", "schema_name", "schemas", "schema_name"),
    ("columns", "table_name", "tables", "table_name"),
    ("keys", "from_table", "tables", "table_name"),
    ("keys", "target_table", "tables", "table_name"),
    ("key_columns", "key_id", "keys", "key_id"),
)


class Key(NamedTuple):
    """A foreign key: the column of a table holds what the target's column holds."""

    name: str
    table: str
    column: str
    target: str
    target_column: str
    description: str = ""


def dataset_table(name: str, catalog: Catalog, description: str) -> Table:
    """A dataset as a published table: its columns that hold one value each.

    Parameters
    ----------
    name : str
    catalog : Catalog
    description : str
    """
    position = {catalog.ra_column, catalog.dec_column} if catalog.is_hats else set()
    columns = tuple(
        typed(_described(field, position), field.type) for field in catalog.schema if is_published(field.type)
    )
    found = position <= {column.name for column in columns}
    on_sky = (catalog.ra_column, catalog.dec_column) if position and found else None
    return Table(name, columns, dotted(name), description, on_sky)


def own_tables() -> list[Table]:
    """The tables of TAP_SCHEMA."""
    made = []
    for name, (description, columns) in _OWN.items():
        told = tuple(
            typed(Column(column, description=text, std=True), type_) for column, (type_, text) in columns.items()
        )
        made.append(Table(f"{TAP_SCHEMA}.{name}", told, dotted(f"{TAP_SCHEMA}.{name}"), description))
    return made


def written(name: str) -> str:
    """A name as queries write it: in quotation marks where it is no regular identifier."""
    return ".".join(part if is_regular(part) else '"' + part.replace('"', '""') + '"' for part in name.split("."))


def written_column(name: str) -> str:
    """A column's name as queries write it; dots are a part of it."""
    return name if is_regular(name) else '"' + name.replace('"', '""') + '"'


def keys_of(tables: Iterable[Table]) -> list[Key]:
    """Foreign keys: of TAP_SCHEMA, and of whatever has an `object_id`, to `curated.objects`."""
    tables = list(tables)
    found = [
        Key(f"{TAP_SCHEMA}_{table}_{column}", *(f"{TAP_SCHEMA}.{table}", column), *(f"{TAP_SCHEMA}.{target}", there))
        for table, column, target, there in _OWN_KEYS
    ]
    if not any(table.name == _OBJECTS for table in tables):
        return found
    said = "The object that the row is about"
    return found + [
        Key(f"{table.name}.{_OBJECT_ID}".replace(".", "_"), table.name, _OBJECT_ID, _OBJECTS, _OBJECT_ID, said)
        for table in tables
        if table.name != _OBJECTS and any(column.name == _OBJECT_ID for column in table.columns)
    ]


def schemas_of(tables: Sequence[Table]) -> dict[str, list[Table]]:
    """Tables by their schema, TAP_SCHEMA last."""
    found: dict[str, list[Table]] = {layer: [] for layer in (*LAYERS, TAP_SCHEMA)}
    for table in tables:
        found[table.name.split(".")[0]].append(table)
    return {schema: held for schema, held in found.items() if held}


def described(schema: str) -> str:
    """What a schema holds."""
    return LAYERS.get(schema, "What this service holds: schemas, tables, columns and keys, as TAP 1.1 has it")


def tap_schema(tables: Sequence[Table]) -> Mapping[str, pa.Table]:
    """Rows of TAP_SCHEMA, by table.

    Parameters
    ----------
    tables : sequence of Table
        All that is published, TAP_SCHEMA's own among them.
    """
    schemas = schemas_of(tables)
    rows: dict[str, list[tuple[object, ...]]] = {
        "schemas": [(name, None, described(name), number) for number, name in enumerate(schemas, 1)],
        "tables": [
            (schema, written(table.name), "table" if schema == TAP_SCHEMA else "view", None, table.description, number)
            for schema, held in schemas.items()
            for number, table in enumerate(held, 1)
        ],
        "columns": [
            _column_row(table, column, number) for table in tables for number, column in enumerate(table.columns, 1)
        ],
        "keys": [
            (key.name, written(key.table), written(key.target), None, key.description or None)
            for key in keys_of(tables)
        ],
        "key_columns": [(key.name, key.column, key.target_column) for key in keys_of(tables)],
    }
    made = {}
    for name, (_, columns) in _OWN.items():
        schema = pa.schema([pa.field(column, type_) for column, (type_, _) in columns.items()])
        values = [pa.array([row[k] for row in rows[name]], field.type) for k, field in enumerate(schema)]
        made[name] = pa.table(values, schema=schema)
    return made


def _column_row(table: Table, column: Column, number: int) -> tuple[object, ...]:
    told = [value or None for value in (column.datatype, column.arraysize, column.xtype)]
    words = [value or None for value in (column.description, column.utype, column.unit, column.ucd)]
    flags = [int(flag) for flag in (column.indexed, column.principal, column.std)]
    return (written(table.name), written_column(column.name), *told, None, *words, *flags, number)


def _described(field: pa.Field, position: set[str]) -> Column:
    said = {
        key: (field.metadata or {}).get(key.encode(), b"").decode(errors="replace")
        for key in ("unit", "ucd", "description")
    }
    indexed = bool(position) and field.name in {*position, INDEX_COLUMN}
    return Column(field.name, **said, indexed=indexed, principal=field.name != INDEX_COLUMN)
