"""What an exported folder's `config.json` says of a model, and whether a bundle is that model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stellar.errors import IntegrityError
from stellar.registry.bundle import Bundle, interval_columns, probability_column

FORMAT = 1
# Last part of a column's name -> unit (VOUnits), where the dataset's schema does not say it.
UNITS = {
    "k": "K", "mag": "mag", "mas": "mas", "deg": "deg", "arcsec": "arcsec", "d": "d", "dex": "dex",
    "angstrom": "Angstrom", "pc": "pc", "btjd": "d", "err": None,
}  # fmt: skip
_PER = re.compile(r"_([a-z]+)_per_([a-z]+)$")


def unit_of(column: str) -> str | None:
    """Unit that the name of a column says: the last part, that of an error being before `_err`.

    >>> unit_of("parallax_mas_err")
    'mas'
    """
    name = column.removesuffix("_err")
    if found := _PER.search(name):
        return f"{found[1]}/{found[2]}"
    if name.startswith("log_"):
        return f"log10({UNITS[last]})" if (last := name.rpartition("_")[2]) in UNITS else None
    before, _, last = name.rpartition("_")
    if len(last) == 1 and len(before.rpartition("_")[2]) < 3:  # a colour: j_k
        return None
    return UNITS.get(last) if before else None


def describe(
    bundle: Bundle, key: str, schema: Sequence[Mapping[str, str]] | None, onnx: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `config.json`.

    Parameters
    ----------
    key : str
        The version's.
    schema : sequence of mapping, optional
        Columns of the dataset of features as `stellar.lake.schema.describe` gives them.
    onnx : mapping
        ``file``, or ``why_not``.
    """
    meaning, model = bundle.meaning, bundle.model
    known = {one["name"]: one for one in schema or ()}
    return {
        "format": FORMAT,
        "library_name": "stellar-platform",
        "model": meaning.model,
        "version": key,
        "architecture": model.architecture,
        "task": task_of(bundle),
        "features_dataset": meaning.features,
        "example": meaning.example,
        "features": [_feature(name, known.get(name, {}), bundle) for name in meaning.columns],
        "watched": [name for name in bundle.ranges.missing if name not in meaning.columns],
        "target": {"name": meaning.target, "kind": meaning.kind, "unit": unit_of(meaning.target)},
        "further_targets": [{"name": name, "kind": "quantity", "unit": unit_of(name)} for name in meaning.further],
        "classes": list(bundle.classes) if meaning.class_column else [],
        "class_column": meaning.class_column,
        "bands": meaning.bands,
        "alpha": meaning.alpha,
        "outputs": outputs_of(bundle),
        "bundle": "bundle",
        "onnx": dict(onnx),
    }


def _feature(name: str, known: Mapping[str, str], bundle: Bundle) -> dict[str, Any]:
    fallback = "float32" if bundle.model.kind == "tabular" else None
    return {
        "name": name,
        "type": known.get("type") or fallback,
        "unit": known.get("unit") or unit_of(name),
        "description": known.get("description") or None,
        "lower": bundle.ranges.lower.get(name),
        "upper": bundle.ranges.upper.get(name),
        "missing_share": bundle.ranges.missing.get(name),
    }


def task_of(bundle: Bundle) -> str:
    """Name of the task on the Hub."""
    if bundle.model.kind != "tabular":
        return "other"
    return "tabular-classification" if bundle.meaning.kind == "class" else "tabular-regression"


def outputs_of(bundle: Bundle) -> list[dict[str, Any]]:
    """Columns of a prediction with type, unit and meaning."""
    said: dict[str, tuple[str | None, str]] = {
        "probability": (None, "Calibrated probability of the class"),
        "prediction_set": (None, f"Classes that hold the truth with probability {1 - bundle.meaning.alpha:g}"),
        "is_out_of_range": (None, "Whether an input lies outside what the model learned from"),
        "novelty": (None, "Share of the training examples that are less unusual"),
        "method": (None, "Which of its models the answer is of"),
        "flags": (None, "Which inputs: name<min, name>max, missing:name"),
    }
    for quantity in bundle.meaning.quantities:
        lower, upper = interval_columns(quantity)
        unit = unit_of(quantity)
        interval = f"of the interval that holds the truth with probability {1 - bundle.meaning.alpha:g}"
        said |= {
            quantity: (unit, "Median"),
            lower: (unit, f"Lower end {interval}"),
            upper: (unit, f"Upper end {interval}"),
            f"{quantity}_width": (unit, f"Width {interval}"),
        }
    if bundle.meaning.class_column:
        said[bundle.meaning.class_column] = (None, "Class")
        said |= {probability_column(one): (None, f"Calibrated probability of {one}") for one in bundle.classes}
    return [
        {
            "name": column.name,
            "type": str(column.type),
            "unit": said[column.name][0],
            "description": said[column.name][1],
        }
        for column in bundle.prediction_schema()
    ]


def check_description(config: Mapping[str, Any], bundle: Bundle, where: str) -> None:
    """Hold `config.json` against the bundle beside it.

    Raises
    ------
    IntegrityError
        When it is of another format, or says another model than the bundle is.
    """
    if config.get("format") != FORMAT:
        raise IntegrityError(f"{where}: format {config.get('format')!r}, this version reads {FORMAT}")
    given = config.get("version")
    said = describe(bundle, str(given), None, {})
    named = config.get("features")
    columns = [one.get("name") for one in named if isinstance(one, dict)] if isinstance(named, list) else None
    held: dict[str, Any] = {**config, "features": columns}
    said["features"] = [one["name"] for one in said["features"]]
    compared = ("model", "architecture", "task", "features_dataset", "example", "features", "watched", "target",
                "further_targets", "classes", "class_column", "bands", "alpha", "outputs")  # fmt: skip
    if other := [name for name in compared if held.get(name) != said[name]]:
        raise IntegrityError(
            f"{where}: {', '.join(other)} {'are' if len(other) > 1 else 'is'} not what the bundle beside it says; get "
            "the folder again from where it was published"
        )
