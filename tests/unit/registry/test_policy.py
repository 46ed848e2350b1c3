import math

import pytest
from pydantic import ValidationError

from stellar.registry.policy import Comparison, Figure, Rule, decide

ACCURACY = Rule(metric="accuracy", op=">=", value=0.7)
ECE = Rule(metric="ece", op="<=", value=0.05, bound="lower")
NOT_WORSE = Rule(metric="accuracy", op="not_worse_than_current")


def comparison(lower, upper, examples=100):
    middle = (lower + upper) / 2
    return {"accuracy": Comparison("accuracy", "c" * 64, examples, 0.8, 0.8 - middle, Figure(middle, lower, upper))}


@pytest.mark.parametrize(("accuracy", "promoted"), [(0.7, True), (0.69, False), (math.nan, False)])
def test_a_threshold_is_of_the_figure(accuracy, promoted):
    assert decide([ACCURACY], {"accuracy": Figure(accuracy, 0.1, 0.9)}).promote is promoted


@pytest.mark.parametrize(("lower", "promoted"), [(0.049, True), (0.051, False), (math.nan, False)])
def test_a_bound_judges_the_interval(lower, promoted):
    assert decide([ECE], {"ece": Figure(0.08, lower, 0.12)}).promote is promoted


@pytest.mark.parametrize(
    ("found", "promoted", "said"),
    [
        (None, True, "nothing to compare with: no version is current"),
        (comparison(-0.1, 0.02), True, "paired difference"),
        (comparison(0.01, 0.1), True, "paired difference"),
        (comparison(-0.1, -0.01), False, "paired difference"),
        (comparison(-0.1, -0.01, examples=29), True, "too few to tell"),
    ],
)
def test_worse_only_where_the_paired_interval_says_so(found, promoted, said):
    decision = decide([NOT_WORSE], {}, found)
    assert decision.promote is promoted
    assert said in decision.reasons[0]


def test_every_rule_must_pass_and_each_gives_its_reason():
    decision = decide([ACCURACY, ECE], {"accuracy": Figure(0.9), "ece": Figure(0.2, 0.1, 0.3)})
    assert not decision.promote
    assert [reason.split(":")[0] for reason in decision.reasons] == ["passed", "failed"]
    assert [rule["passed"] for rule in decision.evidence["rules"]] == [True, False]


def test_an_unknown_metric_fails_and_names_the_known_ones():
    decision = decide([Rule(metric="acuracy", op=">=", value=0.5)], {"accuracy": Figure(0.9)})
    assert not decision.promote
    assert "accuracy" in decision.reasons[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "ece", "op": "<="},
        {"metric": "ece", "op": "not_worse_than_current", "value": 0.1},
        {"metric": "ece", "op": "==", "value": 0.1},
        {"metric": "ece", "op": "<=", "value": 0.1, "bond": "lower"},
    ],
)
def test_a_wrong_rule_is_refused(wrong):
    with pytest.raises(ValidationError):
        Rule(**wrong)


def test_figures_that_the_answers_alone_do_not_give_are_not_compared():
    with pytest.raises(ValidationError, match="ece is none of these"):
        Rule(metric="ece", op="not_worse_than_current")


def test_a_difference_that_rounding_makes_is_none():
    rule = Rule(metric="mae", op="not_worse_than_current")
    same = Comparison("mae", "c" * 64, 500, 115.2, 115.2, Figure(-4e-10, -8e-10, -4e-11))
    assert decide([rule], {}, {"mae": same}).promote
