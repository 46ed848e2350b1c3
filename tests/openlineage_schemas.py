"""JSON Schemas of OpenLineage's events and facets, and a check of whole events against them.

Source: the classes `openlineage.client.generated` of `openlineage-python` (installed; Apache-2.0, OpenLineage project),
which that project generates from the specification's own schemas (https://openlineage.io/spec/2-0-2/OpenLineage.json
and /spec/facets/). The package does not bring the schema files themselves. Each class names the schema that it stands
for, so a facet is checked as the one of its `_schemaURL`. What is made here is stricter than the specification in one
respect: a facet of the specification may hold no fields but its own.
"""

import enum
import importlib
import pkgutil
import types
import typing
from functools import cache

import attr
import jsonschema
from openlineage.client import generated

FORMATS = {"runId": "uuid", "eventTime": "date-time", "producer": "uri", "schemaURL": "uri", "_producer": "uri"}
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


@cache
def classes():
    """Schema URL -> class, of all that the client knows."""
    found = {}
    for one in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module(f"{generated.__name__}.{one.name}")
        for kind in vars(module).values():
            if isinstance(kind, type) and attr.has(kind) and "_get_schema" in vars(kind):
                found[kind._get_schema()] = kind
    return found


def schema_of(kind, open_too=False):
    """JSON Schema of one class; `open_too` allows fields beyond its own, as the specification does."""
    nested = {}
    schema = _object(kind, nested, open_too)
    return {**schema, "$defs": nested}


def _object(kind, nested, open_too):
    hints = typing.get_type_hints(kind)
    fields = {one.name: one for one in attr.fields(kind)}
    properties = {}
    for name in fields:
        properties[name] = _of(hints[name], nested) | ({"format": FORMATS[name]} if name in FORMATS else {})
    required = [name for name, one in fields.items() if one.default is attr.NOTHING]
    required += [name for name in ("_producer", "_schemaURL", "producer", "schemaURL") if name in fields]
    # the client has this method for objects that the specification lets hold more
    open_too = open_too or ("_schemaURL" not in fields and hasattr(kind, "with_additional_properties"))
    closed = {} if open_too else {"additionalProperties": False}
    return {"type": "object", "properties": properties, "required": sorted({*required}), **closed}


def _of(hint, nested):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of(one, nested) for one in inner if one is not type(None)]}
    if origin is list:
        return {"type": "array", "items": _of(inner[0], nested)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(inner[1], nested)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [one.value for one in hint]}
    if isinstance(hint, type) and attr.has(hint):
        name = f"{hint.__module__}.{hint.__name__}"
        if name not in nested:
            nested[name] = {}  # known from here on: a class may hold others of its kind
            url = hint._get_schema() if hasattr(hint, "_get_schema") else ""
            nested[name] = _object(hint, nested, "/OpenLineage.json#" in url)
        return {"$ref": f"#/$defs/{name}"}
    return {}


def validate(event):
    """Raise `jsonschema.ValidationError` unless an event, and each facet in it by its own schema, is right."""
    kind = classes()[event["schemaURL"]]
    _check(event, schema_of(kind))
    facets = [event["run"]["facets"], event["job"]["facets"]]
    for one in [*event["inputs"], *event["outputs"]]:
        facets += [one.get(part, {}) for part in ("facets", "inputFacets", "outputFacets")]
    for name, facet in ((name, facet) for group in facets for name, facet in group.items()):
        url = facet["_schemaURL"]
        if url not in classes():
            raise jsonschema.ValidationError(f"facet {name}: the specification has no {url}")
        _check(facet, schema_of(classes()[url], open_too="/OpenLineage.json#" in url))


def _check(thing, schema):
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(thing)
