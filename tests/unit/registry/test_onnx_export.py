"""The graph says of any row what the bundle says."""

import json

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from made_stars import make_class_config, make_config, make_stars
from stellar.evaluation.calibration import IsotonicCalibrator
from stellar.models import create
from stellar.models.base import numeric_matrix
from stellar.registry.bundle import Bundle, Meaning, probability_column
from stellar.registry.onnx_export import converter_of, to_onnx, why_not
from stellar.registry.onnx_graph import Graph
from stellar.registry.onnx_trees import booster_sums
from stellar.registry.ranges import InputRanges
from stellar.training.fit import fit

COLUMNS = ["bp_rp", "u_g"]
FOREST = {"architecture": "forest_classifier", "params": {"trees": 40, "min_samples_leaf": 2, "threads": 1}}
BOOSTED = {"rounds": 60, "learning_rate": 0.1, "max_depth": 3, "threads": 1}
DISTRIBUTION = {**BOOSTED, "width_rounds": 20, "shape_rounds": 15}
CONFIGS = {
    "quantity": make_config(),
    "logarithm": make_config(params={**BOOSTED, "log_target": True}),
    "plain": make_config(target={"name": "teff_k", "kind": "quantity"}, conformal={"alpha": 0.17}),
    "distribution": make_config(
        architecture="xgb_distribution", params=DISTRIBUTION, conformal={"alpha": 0.1, "levels": True}
    ),
    "log distribution": make_config(architecture="xgb_distribution", params={**DISTRIBUTION, "log_target": True}),
    "transformed": make_config(
        target={"name": "teff_k", "kind": "quantity", "transform": "log10"}, conformal={"alpha": 0.1, "levels": True}
    ),
    "forest quantity": make_config(
        architecture="random_forest_regressor", params={"trees": 30, "smoothing": 0.3, "threads": 1}
    ),
    "few leaf values": make_config(
        architecture="random_forest_regressor",
        params={"trees": 20, "leaf_values": 2, "extra_trees": True, "threads": 1},
    ),
    "process": make_config(architecture="gp_regression", params={"max_rows": 300, "iterations": 10}),
    "views": make_config(
        columns=["g_mag", *COLUMNS],
        architecture="gp_regression",
        params={
            "views": [["g_mag", *COLUMNS], ["bp_rp"], ["u_g", "g_mag"]],
            "log_target": True,
            "max_rows": 200,
            "iterations": 10,
        },
    ),
    "class": make_class_config(),
    "isotonic": make_class_config(calibration="isotonic"),
    "uncalibrated": make_class_config(calibration="none"),
    "forest": make_class_config(**FOREST),
    "forest isotonic": make_class_config(**FOREST, calibration="isotonic"),
    "blend": make_class_config(
        columns=["g_mag", *COLUMNS],
        architecture="blend",
        params={
            "members": [
                {**FOREST, "columns": ["u_g", "bp_rp"], "weight": 2},
                {"architecture": "xgb_classifier", "params": BOOSTED, "columns": COLUMNS},
            ]
        },
    ),
    "multitask": make_class_config(
        further_targets=[{"name": "teff_k", "kind": "quantity"}],
        architecture="xgb_multitask",
        params={**BOOSTED, "heads": {"spectral_class": {"kind": "class"}, "teff_k": {"kind": "quantile"}}},
    ),
}


@pytest.fixture(scope="module")
def stars():
    return make_stars()


@pytest.fixture(scope="module", params=CONFIGS)
def bundle(request, stars):
    return fit(CONFIGS[request.param], stars, seed=7).bundle


def strange_rows(n=400):
    """Stars with a third of the values missing, and some far from anything that was learned from."""
    rng = np.random.default_rng(4)
    table = make_stars(n, seed=2)
    for name in ("g_mag", *COLUMNS):
        values = table[name].to_numpy(zero_copy_only=False).copy()
        far = rng.random(n) < 0.1
        values[far] = rng.choice([-1e30, -40.0, 0.0, -0.0, 60.0, 3e38, 1e300, np.inf, -np.inf], far.sum())
        values[rng.random(n) < 0.3] = np.nan
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, from_pandas=True))
    return table


def run(model, bundle, table):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = bundle.meaning.columns
    matrix = np.empty((table.num_rows, len(columns)), np.float32)
    for k, name in enumerate(columns):  # as another program would: nulls as NaN, infinities as they are
        with np.errstate(over="ignore"):
            matrix[:, k] = table[name].cast(pa.float64()).fill_null(float("nan")).to_numpy()
    found = session.run(None, {"features": matrix})
    return dict(zip((one.name for one in session.get_outputs()), found, strict=True))


def check(bundle, table):
    assert why_not(bundle) is None
    found, wanted = run(to_onnx(bundle), bundle, table), bundle.predict(table)
    names = [one for one in wanted.column_names if one.startswith(bundle.meaning.quantities)]
    assert len(names) == 4 * len(bundle.meaning.quantities)
    for name in names:
        np.testing.assert_allclose(found[name], wanted[name].to_numpy(), rtol=1e-4, atol=1e-6)
    if not bundle.meaning.class_column:
        assert set(found) == set(names)
        return
    assert set(found) == {*names, "probabilities", "class_index"}
    p = np.column_stack([wanted[probability_column(name)].to_numpy() for name in bundle.classes])
    # isotonic maps are steep in places, where they multiply the rounding of a sum of float32
    steep = isinstance(bundle.calibrator, IsotonicCalibrator)
    np.testing.assert_allclose(found["probabilities"], p, rtol=1e-4, atol=1e-5 if steep else 1e-6)
    said = np.array(bundle.classes)[found["class_index"]]
    top = np.sort(p, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-6
    assert clear.mean() > 0.95
    assert (said == np.array(wanted[bundle.meaning.class_column].to_pylist()))[clear].all()


def test_the_graph_says_what_the_bundle_says(bundle, stars):
    check(bundle, stars.slice(0, 300))


def test_of_missing_and_far_values_too(bundle):
    check(bundle, strange_rows())


def test_a_row_alone_and_all_missing(bundle):
    table = make_stars(1, seed=3)
    for name in ("g_mag", *COLUMNS):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array([None], pa.float64()))
    check(bundle, table)


def test_it_is_the_same_to_the_byte_and_says_what_it_reads(bundle):
    model = to_onnx(bundle, {"version": "abc"})
    assert model.SerializeToString() == to_onnx(bundle, {"version": "abc"}).SerializeToString()
    said = {one.key: one.value for one in model.metadata_props}
    assert json.loads(said["columns"]) == list(bundle.meaning.columns)
    assert json.loads(said["classes"]) == list(bundle.classes if bundle.meaning.class_column else ())
    assert (said["version"], float(said["alpha"])) == ("abc", bundle.meaning.alpha)
    onnx.checker.check_model(model, full_check=True)


def _tree_inputs(booster, features):
    """A value on each threshold, and its neighbours on both sides."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    rows = []
    for tree in model["trees"]:
        for left, feature, value in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            for way in (-np.inf, None, np.inf):
                row = np.zeros(features, np.float32)
                at = np.float32(value)
                row[feature] = at if way is None else np.nextafter(at, np.float32(way))
                rows += [row] if left >= 0 else []
    return np.array(rows)


def sums(booster, matrix):
    graph = Graph()
    name = graph.rename(booster_sums(graph, booster, "x"), "y")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", matrix.shape[1]])
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "outputs"])
    model = graph.model([given], [out], {})
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": matrix})[0]


@pytest.mark.parametrize("outputs", [1, 3])
def test_values_on_a_threshold_go_where_xgboost_sends_them(outputs):
    rng = np.random.default_rng(1)
    X = rng.integers(0, 9, (400, 3)).astype(np.float32) / 7  # splits lie on values that rows have
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nansum(X, axis=1) + rng.normal(0, 0.1, 400)
    objective = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9][:outputs], "max_depth": 4}
    booster = xgb.train(objective, xgb.DMatrix(X, label=y), 12)
    rows = np.concatenate([X, _tree_inputs(booster, 3)])
    wanted = booster.inplace_predict(rows).reshape(len(rows), outputs)
    assert len(rows) > 450
    np.testing.assert_allclose(sums(booster, rows), wanted, rtol=1e-5, atol=1e-6)


def test_trees_without_a_split_are_constants():
    X = np.zeros((50, 2), np.float32)
    objective = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8], "max_depth": 2}
    booster = xgb.train(objective, xgb.DMatrix(X, label=np.arange(50.0)), 5)
    np.testing.assert_allclose(sums(booster, X), booster.inplace_predict(X), rtol=1e-6)


def test_a_forest_compares_float32_with_double_thresholds(stars):
    config = CONFIGS["forest"]
    bundle = fit(config, stars, seed=7).bundle
    nodes = bundle.model.nodes
    inner = nodes.left >= 0
    rows = {name: np.zeros(3 * inner.sum()) for name in COLUMNS}
    for place, (feature, threshold) in enumerate(zip(nodes.feature[inner], nodes.threshold[inner], strict=True)):
        near = np.float32(threshold)
        for k, way in enumerate((-np.inf, near, np.inf)):
            rows[COLUMNS[feature]][3 * place + k] = np.nextafter(near, np.float32(way))
    check(bundle, pa.table({**rows, "g_mag": np.full(3 * inner.sum(), 15.0)}))


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=16, allow_subnormal=False), st.floats(0.01, 0.99)),
        min_size=1,
        max_size=8,
        unique_by=lambda one: one[0],
    ),
    st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20),
)
def test_interpolation_is_numpys(points, at):
    x, y = (np.array(part) for part in zip(*sorted(points), strict=True))
    graph = Graph()
    name = graph.rename(graph.interpolate("x", x, y), "y")
    given_, out = (helper.make_tensor_value_info(one, TensorProto.DOUBLE, ["n", 1]) for one in ("x", name))
    session = onnxruntime.InferenceSession(graph.model([given_], [out], {}).SerializeToString())
    (found,) = session.run(None, {"x": np.array(at)[:, None]})
    np.testing.assert_allclose(found[:, 0], np.interp(at, x, y), rtol=1e-9, atol=1e-9)


def test_an_architecture_without_a_converter_is_told():
    model = create("template_match", features=["flux", "ivar", "mask"], targets=["spectral_type"])
    meaning = Meaning("m", "features.x", "id", "spectral_type", "class", ("flux", "ivar", "mask"), 0.1, "spectral_type")
    said = why_not(Bundle(meaning, model, InputRanges({}, {}, {})))
    assert said == "the architecture template_match has no converter to ONNX"
    members = [FOREST, {"architecture": "template_match"}]
    blend = create("blend", features=["flux", "ivar", "mask"], targets=["spectral_type"], members=members)
    assert converter_of(blend).lacks(blend, "class") == said
    assert converter_of(blend).lacks(blend, "quantity") == "the architecture blend has no converter to ONNX"


def test_the_matrix_of_the_platform_is_that_of_the_graph():
    """What `numeric_matrix` makes of infinities the graph makes itself."""
    table = strange_rows()
    matrix = numeric_matrix(table, COLUMNS)
    assert not np.isinf(matrix).any() and np.isnan(matrix).sum() > pc.sum(pc.is_null(table["u_g"])).as_py()
