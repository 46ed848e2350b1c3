"""Boosted trees, forests and blends of them in ONNX; see `onnx_export` for the hook that these are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stellar.models.base import Model
from stellar.models.blend import Blend
from stellar.models.forest import ForestClassifier, Nodes
from stellar.models.forest_regressor import RandomForestRegressor
from stellar.registry.onnx_export import Converter, Distribution, converter_of
from stellar.registry.onnx_graph import Graph, ensemble


def booster_sums(graph: Graph, booster: Any, matrix: str) -> str:
    """Raw outputs of an XGBoost booster, float32[n, outputs], outputs being classes, quantiles or targets.

    A row goes left where ``value < threshold``, both float32, as in XGBoost's own walk.

    Parameters
    ----------
    booster : xgboost.Booster
    matrix : str
        float32[n, f], NaN where missing.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    held = learner["gradient_booster"]["model"]
    about = learner["learner_model_param"]
    outputs = max(int(about["num_class"]), int(about["num_target"]), 1)
    given = np.atleast_1d(np.array(json.loads(about["base_score"]), dtype=np.float64))
    base = np.broadcast_to(given, outputs).copy()
    nodes: dict[str, list[np.ndarray]] = {
        name: [] for name in ("tree", "node", "feature", "threshold", "left", "right", "missing_left", "is_leaf")
    }
    leaves: dict[str, list[np.ndarray]] = {name: [] for name in ("tree", "node", "target", "weight")}
    for number, (tree, output) in enumerate(zip(held["trees"], held["tree_info"], strict=True)):
        left = np.array(tree["left_children"], dtype=np.int64)
        value = np.array(tree["split_conditions"], dtype=np.float32)
        is_leaf = left < 0
        ends = np.flatnonzero(is_leaf)
        targets, weights = _leaf_values(tree, value, ends, output)
        if len(left) == 1:  # a tree without a split is a constant
            base[targets] += weights[0]
            continue
        nodes["tree"].append(np.full(len(left), number))
        nodes["node"].append(np.arange(len(left)))
        nodes["feature"].append(np.array(tree["split_indices"]))
        nodes["threshold"].append(value)
        nodes["left"].append(left)
        nodes["right"].append(np.where(is_leaf, 0, tree["right_children"]))
        nodes["missing_left"].append(np.array(tree["default_left"]))
        nodes["is_leaf"].append(is_leaf)
        leaves["tree"].append(np.full(weights.size, number))
        leaves["node"].append(np.repeat(ends, len(targets)))
        leaves["target"].append(np.tile(targets, len(ends)))
        leaves["weight"].append(weights.ravel())
    if not nodes["tree"]:
        return _constant_rows(graph, matrix, base)
    return ensemble(graph, matrix, _joined(nodes), _joined(leaves), outputs, base, "BRANCH_LT")


def _leaf_values(tree: Any, value: np.ndarray, ends: np.ndarray, output: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that a tree adds to, int64[k], and what each of its leaves adds, float32[leaves, k].

    Where leaves hold all outputs, a leaf's row of `leaf_weights` stands in the place of its right child.
    """
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width <= 1:
        return np.array([output]), value[ends, None]
    rows = np.array(tree["leaf_weights"], dtype=np.float32).reshape(-1, width)
    return np.arange(width), rows[np.array(tree["right_children"], dtype=np.int64)[ends]]


def forest_sums(graph: Graph, nodes: Nodes, matrix: str) -> str:
    """Mean share of each class over the trees, float32[n, k]."""
    held, leaf_tree, leaf_node = _walk(nodes)
    trees, classes = len(nodes.roots), nodes.share.shape[1]
    weight = nodes.share[nodes.leaf[held["is_leaf"]]].astype(np.float64) / trees
    place, target = np.nonzero(weight)
    leaves = {
        "tree": leaf_tree[place],
        "node": leaf_node[place],
        "target": target,
        "weight": weight[place, target],
    }
    return ensemble(graph, matrix, held, leaves, classes, np.zeros(classes), "BRANCH_LEQ")


def _walk(nodes: Nodes) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Nodes as `ensemble` takes them, and the tree and number of each leaf.

    A row goes left where ``value <= threshold`` with a double threshold; for float32 values that is the comparison with
    the largest float32 that is not above it.
    """
    trees = len(nodes.roots)
    sizes = np.diff([*nodes.roots, len(nodes.left)])
    tree = np.repeat(np.arange(trees), sizes)
    first = np.repeat(nodes.roots, sizes)
    is_leaf = nodes.left < 0
    threshold = nodes.threshold.astype(np.float32)
    threshold = np.where(threshold > nodes.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    number = np.arange(len(tree)) - first
    held = {
        "tree": tree,
        "node": number,
        "feature": nodes.feature,
        "threshold": threshold,
        "left": nodes.left - first,
        "right": nodes.right - first,
        "missing_left": nodes.missing_left,
        "is_leaf": is_leaf,
    }
    return held, tree[is_leaf], number[is_leaf]


def _forest_distribution(graph: Graph, model: Model, matrix: str, target: str) -> Distribution:
    """`RandomForestRegressor.predict_dist`: the values of all leaves that a row ends in, and means of those sorted."""
    assert isinstance(model, RandomForestRegressor)
    nodes = model.nodes
    held, leaf_tree, leaf_node = _walk(nodes)
    kept = nodes.share[nodes.leaf[held["is_leaf"]]]
    count, width = kept.shape[1], kept.shape[1] * len(nodes.roots)
    leaves = {
        "tree": np.repeat(leaf_tree, count),
        "node": np.repeat(leaf_node, count),
        "target": (leaf_tree[:, None] * count + np.arange(count)).ravel(),
        "weight": kept.ravel(),
    }
    # about their middle, since a sum is of single precision
    middle = float(np.median(kept))
    leaves["weight"] = leaves["weight"] - middle
    found = ensemble(graph, matrix, held, leaves, width, np.zeros(width), "BRANCH_LEQ")
    values = graph.sorted_rows(graph.linear(graph.double(found), 1.0, middle), width)
    return Distribution(model.levels, graph.add("MatMul", values, graph.constant(model.means(width))))


def _boosted_probabilities(graph: Graph, model: Model, matrix: str, target: str) -> str:
    booster = model.heads[target].booster  # type: ignore[attr-defined]
    return graph.add("Softmax", graph.double(booster_sums(graph, booster, matrix)), axis=1)


def _boosted_distribution(graph: Graph, model: Model, matrix: str, target: str) -> Distribution:
    head = model.heads[target]  # type: ignore[attr-defined]
    levels = np.asarray(head.params["levels"], dtype=np.float64)
    raw = graph.sorted_rows(graph.double(booster_sums(graph, head.booster, matrix)), len(levels))
    values = graph.linear(raw, head.scale, head.centre)
    return Distribution(levels, graph.add("Pow", graph.constant(10.0), values) if head.log else values)


def _forest_probabilities(graph: Graph, model: Model, matrix: str, target: str) -> str:
    assert isinstance(model, ForestClassifier)
    return graph.shares(graph.double(forest_sums(graph, model.nodes, matrix)))


def _blend_probabilities(graph: Graph, model: Model, matrix: str, target: str) -> str:
    """A member sees its own columns; its share of the answer is fixed."""
    assert isinstance(model, Blend)
    parts = []
    for share, member in zip(model.shares, model.members, strict=True):
        seen = graph.columns(matrix, [model.features.index(name) for name in member.features])
        convert = converter_of(member).probabilities
        assert convert is not None
        parts.append(graph.linear(convert(graph, member, seen, target), float(share)))
    return graph.add("Sum", *parts)


def _blend_lacks(model: Model) -> str | None:
    """Why one of the members cannot be written."""
    assert isinstance(model, Blend)
    return next((why for member in model.members if (why := converter_of(member).lacks(member, "class"))), None)


def _constant_rows(graph: Graph, matrix: str, values: np.ndarray) -> str:
    rows = graph.add("Gather", graph.add("Shape", matrix), graph.constant([0], np.int64))
    shape = graph.add("Concat", rows, graph.constant([len(values)], np.int64), axis=0)
    return graph.add("Expand", graph.constant(values[None, :], np.float32), shape)


def _joined(parts: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate(found) for name, found in parts.items()}


BOOSTED = Converter(_boosted_probabilities, _boosted_distribution)
FOREST = Converter(_forest_probabilities)
FOREST_DISTRIBUTION = Converter(distribution=_forest_distribution)
BLEND = Converter(_blend_probabilities, why_not=_blend_lacks)
