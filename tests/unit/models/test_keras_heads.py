import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

from stellar.errors import InputError
from stellar.models.keras_heads import (
    CLASS_DEFAULTS,
    QUANTITY_DEFAULTS,
    ClassHead,
    QuantityHead,
    decompose,
    head_for,
    log_softmax,
    make_heads,
    probabilities,
)

NO_COLUMNS = pa.table({"x": [0.0]})


def quantity(**params):
    return QuantityHead("teff_k", {**QUANTITY_DEFAULTS, **params})


def test_class_labels_that_are_missing_or_new_weigh_nothing():
    head = ClassHead("c", {**CLASS_DEFAULTS, "class_weight_power": 1.0})
    head.learn(np.array(["K", "A", "A", "A", None], dtype=object))
    codes, known = head.encode(np.array(["K", None, "A", "Z", "A"], dtype=object), NO_COLUMNS)
    assert known.tolist() == [True, False, True, False, True]
    assert codes[known, 0].tolist() == [1, 0, 0]
    weight = head.balance(codes, known)
    assert weight[~known].tolist() == [0, 0]
    assert weight[0] == pytest.approx(weight[2] + weight[4])
    with pytest.raises(InputError, match="two classes"):
        head.learn(np.array(["A", None], dtype=object))


def test_quantiles_are_normal_or_log_normal():
    values = np.array([3000.0, 5000.0, 9000.0, np.nan])
    samples = np.array([[[0.5, np.log(0.04)]]])
    plain, log = quantity(), quantity(log=True)
    plain.learn(values)
    log.learn(values)
    q = plain.quantiles(samples)
    unit = np.std(values[:3])
    assert q.values[0] == pytest.approx(norm(5000 + 0.5 * unit, 0.2 * unit).ppf(q.levels))
    q = log.quantiles(samples)
    unit = np.std(np.log10(values[:3]))
    assert np.log10(q.values[0]) == pytest.approx(norm(np.log10(5000) + 0.5 * unit, 0.2 * unit).ppf(q.levels))


def test_known_errors_of_labels_are_added_to_the_variance():
    table = pa.table({"err": [100.0, None, 50.0]})
    for log in (False, True):
        head = quantity(error_column="err", log=log)
        labels = np.array([4000.0, 5000.0, 6000.0])
        head.learn(labels)
        codes, known = head.encode(labels, table)
        slope = 1 / (np.array([4000, 6000]) * np.log(10)) if log else 1.0  # d log10(y) / dy
        assert known.all()
        assert codes[[0, 2], 1] == pytest.approx((np.array([100, 50]) * slope / head.scale) ** 2, rel=1e-5)
        assert codes[1, 1] == 0
        outputs = np.array([[0.3, -1.0]] * 3)
        expected = norm(0.3, np.sqrt(np.exp(-1) + codes[:, 1])).logpdf(codes[:, 0]) + 0.5 * np.log(2 * np.pi)
        assert head.score(codes, outputs) == pytest.approx(-expected)


def test_bad_quantities_are_named():
    with pytest.raises(InputError, match="row 1 is not above 0"):
        quantity(log=True).learn(np.array([1.0, -2.0]))
    with pytest.raises(InputError, match="two labelled rows"):
        quantity().learn(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="labels are numbers"):
        quantity().learn(np.array(["hot", "cold"]))


def test_uncertainty_adds_up_and_tells_the_kinds_apart():
    head = ClassHead("c", CLASS_DEFAULTS)
    sure_but_at_odds = np.array([[[40.0, 0.0]], [[0.0, 40.0]]])
    both_undecided = np.zeros((2, 1, 2))
    parts = decompose(head, sure_but_at_odds)
    assert (parts["epistemic"][0], parts["aleatoric"][0]) == pytest.approx((np.log(2), 0.0), abs=1e-9)
    parts = decompose(head, both_undecided)
    assert (parts["epistemic"][0], parts["aleatoric"][0]) == pytest.approx((0.0, np.log(2)), abs=1e-9)

    number = quantity()
    number.centre, number.scale = 10.0, 2.0
    samples = np.array([[[0.0, np.log(0.25)]], [[1.0, np.log(0.75)]]])
    parts = decompose(number, samples)
    assert (parts["epistemic"][0], parts["aleatoric"][0]) == pytest.approx((1.0, 2.0))
    q = number.quantiles(samples)
    assert q.median[0] == pytest.approx(11.0)
    assert q.at(0.84)[0] == pytest.approx(norm(11, np.sqrt(3)).ppf(0.84))  # the mixture's variance is their sum


def test_probabilities_of_extreme_logits():
    samples = np.array([[[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]]])
    assert probabilities(samples) == pytest.approx(np.array([[1, 0, 0], [1 / 3] * 3]))
    assert np.isfinite(log_softmax(samples)).all()


def test_heads_by_words_or_by_labels():
    heads = make_heads("m", ["a", "b"], {"b": {"kind": "quantity", "log": True}})
    assert heads["a"] is None
    assert heads["b"].params["log"]
    assert head_for("a", np.array([1.0, np.nan]), {}).kind == "quantity"
    assert head_for("a", np.array(["1", None], dtype=object), {"focal_gamma": 2.0}).params["focal_gamma"] == 2.0
    for wanted, words in (
        ({"z": {}}, "heads z are not among"),
        ({"a": {"kind": "set"}}, "kind 'set'"),
        ({"a": {"kind": "class", "depth": 1}}, "unknown parameter depth"),
    ):
        with pytest.raises(InputError, match=words):
            make_heads("m", ["a", "b"], wanted)
