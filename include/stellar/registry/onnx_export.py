"""A bundle as one ONNX graph: prepared columns in, the columns that `stellar predict` writes out.

    features        float32[n, f]   the model's prepared columns in the order of `Meaning.columns`; NaN where missing
    <quantity>      double[n]       median of the predictive distribution, in the quantity's unit
    <quantity>_lower, _upper, _width  double[n]  ends and width of the conformal interval
    probabilities   double[n, k]    calibrated, columns in the order of `Bundle.classes`
    class_index     int64[n]        the likeliest class

What a row's input lies beyond (`is_out_of_range`, `flags`) and prediction sets are not part of the graph.

To give an architecture a converter, write a `Converter` and name it in `CONVERTERS`, by module and attribute. Its
functions add nodes to the graph and return the name of a double tensor: probabilities [n, k] before calibration, or
quantiles [n, q] in the target's unit, ascending along a row. They are given the matrix of the model's own `features`,
and the same `target` as `Model.predict_proba` and `Model.predict_dist`. An architecture without one is published
without `model.onnx`.

onnxmltools 1.16, which converts boosters too, gives wrong numbers for those of several quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from stellar.evaluation.calibration import Calibrator
from stellar.evaluation.conformal import ConformalIntervals
from stellar.models.base import Model
from stellar.registry.bundle import Bundle, interval_columns
from stellar.registry.onnx_graph import Graph

CONVERTERS = {
    "xgb_classifier": "stellar.registry.onnx_trees:BOOSTED",
    "xgb_quantile": "stellar.registry.onnx_trees:BOOSTED",
    "xgb_multitask": "stellar.registry.onnx_trees:BOOSTED",
    "xgb_distribution": "stellar.registry.onnx_distribution:DISTRIBUTION",
    "forest_classifier": "stellar.registry.onnx_trees:FOREST",
    "random_forest_regressor": "stellar.registry.onnx_trees:FOREST_DISTRIBUTION",
    "gp_regression": "stellar.registry.onnx_process:PROCESS",
    "blend": "stellar.registry.onnx_trees:BLEND",
}
INPUT, PROBABILITIES, CLASS_INDEX = "features", "probabilities", "class_index"
_FLOOR = 1e-12  # of a probability before its logarithm, as in `stellar.evaluation.calibration`


@dataclass(frozen=True)
class Distribution:
    """Quantiles of each row as a tensor [n, q], and their levels."""

    levels: np.ndarray
    values: str


@dataclass(frozen=True)
class Converter:
    """How an architecture's answers are computed in ONNX; None for a kind of answer that it does not give.

    Attributes
    ----------
    probabilities, distribution : callable or None
        Called as (graph, model, matrix, target).
    why_not : callable or None
        Why this very model cannot be written, though its architecture can; None where it can.
    """

    probabilities: Callable[[Graph, Model, str, str], str] | None = None
    distribution: Callable[[Graph, Model, str, str], Distribution] | None = None
    why_not: Callable[[Model], str | None] | None = None

    def lacks(self, model: Model, kind: str) -> str | None:
        """Why it cannot write what the model says of a class or a quantity; None where it can."""
        if (self.probabilities if kind == "class" else self.distribution) is None:
            return f"the architecture {model.architecture} has no converter to ONNX"
        return self.why_not(model) if self.why_not else None


def converter_of(model: Model) -> Converter:
    """The architecture's converter; one that can do nothing where there is none."""
    if model.architecture not in CONVERTERS:
        return Converter()
    module, _, attribute = CONVERTERS[model.architecture].partition(":")
    found: Converter = getattr(import_module(module), attribute)
    return found


def why_not(bundle: Bundle) -> str | None:
    """Why a bundle cannot be written as ONNX; None where it can."""
    converter = converter_of(bundle.model)
    kinds = [*(["class"] if bundle.meaning.kind == "class" else []), *("quantity" for _ in bundle.meaning.quantities)]
    return next((why for kind in kinds if (why := converter.lacks(bundle.model, kind))), None)


def input_columns(bundle: Bundle) -> tuple[str, ...]:
    """Columns of the graph's input: the version's, or where these are prepared first, what comes of them."""
    columns = bundle.meaning.columns
    return columns if {*bundle.model.features} <= {*columns} else tuple(bundle.model.features)


def to_onnx(bundle: Bundle, about: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The bundle's graph; call it where `why_not` says nothing.

    Parameters
    ----------
    about : mapping, optional
        Further metadata of the model (its version's key); columns, classes and alpha are always there.
    """
    meaning, graph = bundle.meaning, Graph()
    converter = converter_of(bundle.model)
    matrix, columns = _finite(graph), input_columns(bundle)
    if tuple(bundle.model.features) != columns:
        matrix = graph.columns(matrix, [columns.index(name) for name in bundle.model.features])
    outputs, raw = [], None
    for quantity in meaning.quantities:
        assert converter.distribution is not None
        found = _levelled(graph, bundle, quantity, converter.distribution(graph, bundle.model, matrix, quantity))
        for name, tensor in _interval(graph, bundle, quantity, found).items():
            outputs.append(_output(graph, tensor, name, TensorProto.DOUBLE))
        if quantity == meaning.target and meaning.bands:
            raw = _bands(graph, found, list(meaning.bands.values())[1:])
    if meaning.kind == "class":
        assert converter.probabilities is not None
        raw = converter.probabilities(graph, bundle.model, matrix, meaning.target)
    if raw is not None:
        p = _calibrated(graph, bundle.calibrator, raw, len(bundle.classes))
        outputs.append(_output(graph, p, PROBABILITIES, TensorProto.DOUBLE, len(bundle.classes)))
        best = graph.add("ArgMax", p, axis=1, keepdims=0)
        outputs.append(_output(graph, best, CLASS_INDEX, TensorProto.INT64))
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", len(columns)])
    said = {
        "columns": json.dumps(list(columns)),
        "classes": json.dumps(list(bundle.classes) if meaning.class_column else []),
        "alpha": repr(meaning.alpha),
        **(about or {}),
    }
    return graph.model([given], outputs, said)


def _levelled(graph: Graph, bundle: Bundle, quantity: str, found: Distribution) -> Distribution:
    """In the quantity's unit, and with its levels set right, as `Bundle` has it."""
    values = found.values
    if bundle.meaning.transforms.get(quantity) == "log10":
        values = graph.add("Pow", graph.constant(10.0), values)
    if quantity in bundle.recalibration:
        low, share = bundle.recalibration[quantity].places(found.levels)
        below, above = (graph.columns(values, (low + k).tolist()) for k in (0, 1))
        below, above = (graph.add("Mul", one, graph.constant(by)) for one, by in ((below, 1 - share), (above, share)))
        values = graph.add("Add", below, above)
    return Distribution(found.levels, values)


def _output(graph: Graph, tensor: str, name: str, kind: int, width: int | None = None) -> onnx.ValueInfoProto:
    shape: list[str | int] = ["n"] if width is None else ["n", width]
    return helper.make_tensor_value_info(graph.rename(tensor, name), kind, shape)


def _finite(graph: Graph) -> str:
    """An infinity is a missing value, as in `stellar.models.base.numeric_matrix`."""
    return graph.add("Where", graph.add("IsInf", INPUT), graph.constant(np.nan, np.float32), INPUT)


def _at(graph: Graph, found: Distribution, level: float) -> str:
    """`Quantiles.at`, [n]."""
    position = float(np.interp(level, found.levels, np.arange(len(found.levels))))
    low = int(np.floor(position))
    share = position - low
    below = graph.column(found.values, low)
    if not share:
        return below
    above = graph.column(found.values, low + 1)
    return graph.add("Add", graph.linear(below, 1 - share), graph.linear(above, share))


def _interval(graph: Graph, bundle: Bundle, quantity: str, found: Distribution) -> dict[str, str]:
    """Median, ends and width as `Bundle.columns` gives them, by their columns' names."""
    alpha = bundle.meaning.alpha
    median, low, high = (_at(graph, found, level) for level in (0.5, alpha / 2, 1 - alpha / 2))
    if quantity in bundle.intervals:
        low, high = _widened(graph, bundle.intervals[quantity], low, high)
    low, high = graph.add("Min", low, median), graph.add("Max", high, median)
    lower, upper = interval_columns(quantity)
    return {quantity: median, lower: low, upper: high, f"{quantity}_width": graph.add("Sub", high, low)}


def _widened(graph: Graph, conformal: ConformalIntervals, low: str, high: str) -> tuple[str, str]:
    """`ConformalIntervals.apply`; the floor of a row's width is by its own upper end instead of the batch's largest."""
    margin = graph.constant(conformal.margin)
    if conformal.scaled:
        size = graph.add("Max", graph.add("Abs", high), graph.constant(1e-30))
        unit = graph.add("Max", graph.add("Sub", high, low), graph.linear(size, 1e-9))
        margin = graph.add("Mul", unit, margin)
    wide_low, wide_high = graph.add("Sub", low, margin), graph.add("Add", high, margin)
    crossed = graph.add("Greater", wide_low, wide_high)
    middle = graph.linear(graph.add("Add", low, high), 0.5)
    return graph.add("Where", crossed, middle, wide_low), graph.add("Where", crossed, middle, wide_high)


def _bands(graph: Graph, found: Distribution, edges: list[float]) -> str:
    """`bundle.band_probabilities`: differences of the distribution function at the bands' edges, [n, k]."""
    below: list[str] = []
    for edge in edges:
        passed = _pit(graph, found, edge)
        below.append(graph.add("Max", below[-1], passed) if below else passed)
    if not below:
        return graph.linear(graph.add("Mul", graph.columns(found.values, [0]), graph.constant(0.0)), 1.0, 1.0)
    parts = [below[0], *(graph.add("Sub", upper, lower) for lower, upper in pairwise(below))]
    last = graph.add("Sub", graph.constant(1.0), below[-1])
    return graph.add("Concat", *parts, last, axis=1)


def _pit(graph: Graph, found: Distribution, edge: float) -> str:
    """`metrics.pit_from_quantiles` of one value, [n, 1]: the level at which each row's distribution passes it."""
    tau, one = found.levels, graph.constant(1, np.int64)
    last = graph.constant(len(tau) - 1, np.int64)
    value = graph.constant(edge)
    passed = graph.count(graph.add("LessOrEqual", found.values, value))
    k = graph.add("Clip", passed, one, last)
    before = graph.add("Sub", k, one)
    left, right = (graph.add("GatherElements", found.values, place, axis=1) for place in (before, k))
    gap = graph.add("Sub", right, left)
    has_gap = graph.add("Greater", gap, graph.constant(0.0))
    share = graph.add("Div", graph.add("Sub", value, left), graph.add("Where", has_gap, gap, graph.constant(1.0)))
    share = graph.add("Where", has_gap, share, graph.constant(0.5))
    step = graph.add("Mul", share, graph.pick(np.diff(tau), before))
    inside = graph.add("Add", graph.pick(tau[:-1], before), step)
    # beyond the outermost quantiles: the middle of that tail
    under = graph.add("Less", passed, one)
    over = graph.add("Greater", passed, last)
    upper = graph.add("Where", over, graph.constant((1 + tau[-1]) / 2), inside)
    return graph.add("Where", under, graph.constant(tau[0] / 2), upper)


def _calibrated(graph: Graph, calibrator: Calibrator | None, p: str, classes: int) -> str:
    """`Calibrator.apply` of probabilities [n, k]."""
    about: dict[str, Any] = calibrator.to_dict() if calibrator else {"kind": "none"}
    if about["kind"] == "temperature":
        logits = graph.add("Log", graph.add("Max", p, graph.constant(_FLOOR)))
        return graph.add("Softmax", graph.linear(logits, 1 / about["temperature"]), axis=1)
    if about["kind"] == "isotonic":
        maps = [(np.asarray(one["x"], float), np.asarray(one["y"], float)) for one in about["maps"]]
        mapped = [graph.interpolate(graph.columns(p, [k]), *maps[k]) for k in range(classes)]
        return graph.shares(graph.add("Concat", *mapped, axis=1))
    assert about["kind"] == "none"
    return p
