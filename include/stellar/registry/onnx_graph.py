"""A growing ONNX graph, and the operations of NumPy that predictions are finished with.

Names of tensors go in and out. Trees read float32, as they do in their own libraries; what follows is double, as in
`stellar.registry.bundle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 10  # read by onnxruntime from 1.18 on
TREES = "ai.onnx.ml"


class Graph:
    """Nodes and constants in the order in which they are computed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float64) -> str:
        """Name of a constant tensor."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Name of the first output of a new node."""
        names = [f"{op.lower()}_{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def rename(self, tensor: str, name: str) -> str:
        """The tensor as an output of this name."""
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        return name

    # -- arithmetic --------------------------------------------------------------------------------------------------
    def double(self, tensor: str) -> str:
        return self.add("Cast", tensor, to=onnx.TensorProto.DOUBLE)

    def columns(self, tensor: str, places: Sequence[int]) -> str:
        """Columns of a matrix, [n, len(places)]."""
        return self.add("Gather", tensor, self.constant(places, np.int64), axis=1)

    def column(self, tensor: str, place: int) -> str:
        """One column of a matrix, [n]."""
        return self.add("Gather", tensor, self.constant(place, np.int64), axis=1)

    def linear(self, tensor: str, factor: float, offset: float = 0.0) -> str:
        """``tensor * factor + offset``."""
        scaled = self.add("Mul", tensor, self.constant(factor))
        return self.add("Add", scaled, self.constant(offset)) if offset else scaled

    def total(self, tensor: str) -> str:
        """Sum of each row, [n, 1]."""
        return self.add("ReduceSum", tensor, self.constant([1], np.int64), keepdims=1)

    def shares(self, tensor: str) -> str:
        """Rows divided by their sums."""
        return self.add("Div", tensor, self.total(tensor))

    def sorted_rows(self, tensor: str, width: int) -> str:
        """Each row in ascending order."""
        return self.add("TopK", tensor, self.constant([width], np.int64), outputs=2, axis=1, largest=0, sorted=1)

    def count(self, condition: str) -> str:
        """How many of each row hold, int64[n, 1]."""
        return self.total(self.add("Cast", condition, to=onnx.TensorProto.INT64))

    def pick(self, values: np.ndarray, places: str) -> str:
        """Entries of a constant vector at int64[n, 1]."""
        return self.add("Gather", self.constant(values), places, axis=0)

    def interpolate(self, tensor: str, x: np.ndarray, y: np.ndarray) -> str:
        """`np.interp` of [n, 1]: linear between the points, the outermost values beyond them."""
        if len(x) == 1:
            return self.linear(self.add("Mul", tensor, self.constant(0.0)), 1.0, float(y[0]))
        held = self.add("Clip", tensor, self.constant(x[0]), self.constant(x[-1]))
        below = self.count(self.add("LessOrEqual", self.constant(x[None, 1:-1]), held)) if len(x) > 2 else None
        if below is None:
            below = self.add("Cast", self.add("Mul", held, self.constant(0.0)), to=onnx.TensorProto.INT64)
        gap = np.diff(x)
        slope = np.divide(np.diff(y), gap, out=np.zeros(len(gap)), where=gap > 0)
        step = self.add("Sub", held, self.pick(x[:-1], below))
        return self.add("Add", self.pick(y[:-1], below), self.add("Mul", self.pick(slope, below), step))

    # -- the whole ---------------------------------------------------------------------------------------------------
    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], about: dict[str, str]
    ) -> onnx.ModelProto:
        """The graph as a checked model; `about` becomes its metadata."""
        graph = helper.make_graph(self.nodes, "stellar", list(inputs), list(outputs), self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        made = helper.make_model(graph, producer_name="stellar", opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(made, about)
        onnx.checker.check_model(made, full_check=True)
        return made


def ensemble(graph: Graph, matrix: str, nodes: dict[str, np.ndarray], leaves: dict[str, np.ndarray], targets: int,
             base: np.ndarray, mode: str) -> str:  # fmt: skip
    """Sum of trees, float32[n, targets].

    Parameters
    ----------
    matrix : str
        float32[n, f].
    nodes : dict
        Of all nodes, tree after tree: ``tree``, ``node`` (number within the tree), ``feature``, ``threshold``,
        ``left`` and ``right`` (numbers within the tree), ``missing_left``, ``is_leaf``.
    leaves : dict
        ``tree``, ``node``, ``target``, ``weight``: what each leaf adds to which target.
    base : float[targets]
        What the sums begin with.
    mode : str
        ``BRANCH_LT`` or ``BRANCH_LEQ``: the comparison with the threshold that leads to the left.
    """
    inner = ~nodes["is_leaf"]
    return graph.add(
        "TreeEnsembleRegressor",
        matrix,
        domain=TREES,
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=base.astype(np.float32).tolist(),
        nodes_treeids=nodes["tree"].tolist(),
        nodes_nodeids=nodes["node"].tolist(),
        nodes_featureids=np.where(inner, nodes["feature"], 0).tolist(),
        nodes_values=np.where(inner, nodes["threshold"], 0).astype(np.float32).tolist(),
        nodes_modes=[mode if one else "LEAF" for one in inner],
        nodes_truenodeids=np.where(inner, nodes["left"], 0).tolist(),
        nodes_falsenodeids=np.where(inner, nodes["right"], 0).tolist(),
        nodes_missing_value_tracks_true=np.where(inner, nodes["missing_left"], 0).astype(int).tolist(),
        target_treeids=leaves["tree"].tolist(),
        target_nodeids=leaves["node"].tolist(),
        target_ids=leaves["target"].tolist(),
        target_weights=leaves["weight"].astype(np.float32).tolist(),
    )
