"""`gp_regression` in ONNX; see `onnx_export` for the hook that this is."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from stellar.models.base import Model
from stellar.models.gp_regression import CLIP, GPRegression, View
from stellar.models.matern_process import JITTER, Process
from stellar.models.residual_spread import CLIP as SIGNS_CLIP
from stellar.models.residual_spread import ResidualSpread
from stellar.registry.onnx_export import Converter, Distribution
from stellar.registry.onnx_graph import Graph


def _distribution(graph: Graph, model: Model, matrix: str, target: str) -> Distribution:
    """`GPRegression.predict_dist`: all views answer for all rows, and the first counts that has the row's columns."""
    assert isinstance(model, GPRegression)
    inputs = graph.double(matrix)
    zeros = graph.linear(graph.total(graph.add("Where", graph.add("IsNaN", inputs), graph.constant(0.0), inputs)), 0.0)
    found = graph.add("Add", zeros, graph.constant(model.fallback[None, :]))
    for view in reversed(model.views):
        own = graph.columns(inputs, view.columns)
        lacks = graph.add("IsNaN", own)
        has_all = graph.add("Less", graph.count(lacks), graph.constant(1, np.int64))
        filled = graph.add("Where", lacks, graph.constant(view.centre[None, :]), own)
        found = graph.add("Where", has_all, _quantiles(graph, view, filled, model.levels), found)
    centre, scale = model.scale
    values = graph.linear(found, scale, centre)
    is_log = model.settings["log_target"]
    return Distribution(model.levels, graph.add("Pow", graph.constant(10.0), values) if is_log else values)


def _quantiles(graph: Graph, view: View, own: str, levels: np.ndarray) -> str:
    """`gp_regression.View.quantiles`, [n, q]."""
    scaled = graph.add("Div", graph.add("Sub", own, graph.constant(view.centre[None, :])), graph.constant(view.width))
    mean, variance = _predict(graph, view.process, _clip(graph, scaled, -CLIP, CLIP))
    mean = _clip(graph, mean, *view.limits)
    signs = graph.add("Concat", graph.linear(graph.add("Log", variance), 0.5), mean, axis=1)
    return graph.add("Add", mean, graph.add("Mul", _width(graph, view.spread, signs),
                                            graph.constant(view.spread.quantiles(levels)[None, :])))  # fmt: skip


def _predict(graph: Graph, process: Process, inputs: str) -> tuple[str, str]:
    """`matern_process.Process.predict`: mean and variance, [n, 1] each."""
    known, theta = process.inputs, process.theta
    d = known.shape[1]
    lengths, linear = np.exp(theta[1 : d + 1]), float(np.exp(theta[d + 1]))
    near, theirs = graph.add("Div", inputs, graph.constant(lengths[None, :])), known / lengths
    product = graph.add("MatMul", near, graph.constant(theirs.T))
    squares = graph.add("Add", _squares(graph, near), graph.constant((theirs**2).sum(axis=1)[None, :]))
    distance = graph.add("Max", graph.add("Sub", squares, graph.linear(product, 2.0)), graph.constant(0.0))
    away = graph.add("Sqrt", graph.linear(distance, 3.0))
    decay = graph.add("Exp", graph.add("Sub", graph.constant(theta[0]), away))
    smooth = graph.add("Mul", graph.linear(away, 1.0, 1.0), decay)
    trend = graph.linear(graph.add("MatMul", inputs, graph.constant(known.T)), linear / d)
    across = graph.add("Add", smooth, trend)
    mean = graph.add("MatMul", across, graph.constant(process.alpha[:, None]))
    inverse = solve_triangular(process.factor, np.eye(len(known)), lower=True, check_finite=False)
    explained = _squares(graph, graph.add("MatMul", across, graph.constant(inverse.T)))
    itself = graph.linear(_squares(graph, inputs), linear / d, float(np.exp(theta[0])))
    return mean, graph.add("Max", graph.add("Sub", itself, explained), graph.constant(JITTER))


def _width(graph: Graph, spread: ResidualSpread, signs: str) -> str:
    """`ResidualSpread.width`, [n, 1]."""
    z = graph.add("Div", graph.add("Sub", signs, graph.constant(spread.centre[None, :])), graph.constant(spread.scale))
    slopes = graph.constant(spread.coefficients[1:, None])
    found = graph.add("MatMul", _clip(graph, z, -SIGNS_CLIP, SIGNS_CLIP), slopes)
    return graph.add("Exp", graph.linear(found, 1.0, float(spread.coefficients[0])))


def _squares(graph: Graph, tensor: str) -> str:
    return graph.total(graph.add("Mul", tensor, tensor))


def _clip(graph: Graph, tensor: str, low: float, high: float) -> str:
    return graph.add("Clip", tensor, graph.constant(low), graph.constant(high))


PROCESS = Converter(distribution=_distribution)
