"""`xgb_distribution` in ONNX; see `onnx_export` for the hook that this is."""

from __future__ import annotations

import numpy as np

from stellar.models.base import Model
from stellar.models.xgb_distribution import FEWEST_BEYOND, XgbDistribution
from stellar.registry.onnx_export import Converter, Distribution
from stellar.registry.onnx_graph import Graph
from stellar.registry.onnx_trees import booster_sums


def _distribution(graph: Graph, model: Model, matrix: str, target: str) -> Distribution:
    """`XgbDistribution.predict_matrix`."""
    assert isinstance(model, XgbDistribution)
    place = booster_sums(graph, model.boosters["location"], matrix)
    inputs = graph.add("Concat", matrix, place, axis=1)
    width = graph.double(graph.add("Exp", booster_sums(graph, model.boosters["width"], inputs)))
    below = graph.double(booster_sums(graph, model.boosters["shape"], inputs))
    z = _quantiles_of_steps(graph, below, model.cuts, model.levels)
    values = graph.add("Add", graph.add("Mul", z, width), graph.double(place))
    values = graph.linear(values, model.scale, model.centre)
    return Distribution(
        model.levels, graph.add("Pow", graph.constant(10.0), values) if model.settings["log_target"] else values
    )


def _quantiles_of_steps(graph: Graph, below: str, cuts: np.ndarray, levels: np.ndarray) -> str:
    """`xgb_distribution.quantiles_of_steps`, [n, q]."""
    k, zero, one = len(cuts), graph.constant(0.0), graph.constant(1.0)
    steps = [graph.add("Clip", graph.columns(below, [0]), zero, one)]
    for j in range(1, k):
        steps.append(graph.add("Clip", graph.add("Max", steps[-1], graph.columns(below, [j])), zero, one))
    p = graph.add("Concat", *steps, axis=1)
    least = graph.constant(FEWEST_BEYOND)
    first = graph.add("Max", steps[0], least)
    last = graph.add("Max", graph.add("Sub", one, steps[-1]), least)
    found = []
    for level in levels:
        passed = graph.count(graph.add("Less", p, graph.constant(level)))
        right = graph.add("Clip", passed, graph.constant(1, np.int64), graph.constant(k - 1, np.int64))
        left = graph.add("Sub", right, graph.constant(1, np.int64))
        low, high = (graph.add("GatherElements", p, one_side, axis=1) for one_side in (left, right))
        gap = graph.add("Sub", high, low)
        has_gap = graph.add("Greater", gap, zero)
        share = graph.add("Div", graph.add("Sub", graph.constant(level), low), graph.add("Where", has_gap, gap, one))
        inside = graph.add("Add", graph.pick(cuts[:-1], left), graph.add("Mul", share, graph.pick(np.diff(cuts), left)))
        under = graph.linear(_log_share(graph, level, first), float(cuts[1] - cuts[0]), float(cuts[0]))
        over = graph.linear(_log_share(graph, 1 - level, last), -float(cuts[-1] - cuts[-2]), float(cuts[-1]))
        value = graph.add("Where", graph.add("Less", passed, graph.constant(1, np.int64)), under, inside)
        is_over = graph.add("Greater", passed, graph.constant(k - 1, np.int64))
        found.append(graph.add("Where", is_over, over, value))
    return graph.add("Concat", *found, axis=1)


def _log_share(graph: Graph, level: float, tail: str) -> str:
    """Logarithm of the share of a tail that lies beyond a level, at most 0."""
    return graph.add("Log", graph.add("Min", graph.add("Div", graph.constant(level), tail), graph.constant(1.0)))


DISTRIBUTION = Converter(distribution=_distribution)
