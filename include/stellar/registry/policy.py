"""Promotion policy: rules over a new version's test metrics, and the decision with its reasons.

A model is promoted when no rule fails. Rules are declared in the model's YAML:

- `{metric: accuracy, op: ">=", value: 0.70}`: the figure itself;
- `{metric: ece, op: "<=", value: 0.05, bound: lower}`: fails only where the bootstrap interval's lower bound is above
  the value, since a small test set inflates a calibration error that has no sign;
- `{metric: macro_f1, op: better_than_baselines}`: fails unless the figure is better than that of every baseline of the
  config, on the same examples;
- `{metric: accuracy, op: not_worse_than_current}`: fails only where the paired bootstrap shows, on the same test
  examples, that the current version is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

PAIRED_METRICS = ("accuracy", "macro_f1", "subtype_mae", "mae", "rmse")  # which the answers alone give
PAIRED = ("not_worse_than_current", "better_than_baselines")  # rules that compare two models, and take no value


class Rule(BaseModel):
    """One rule of a promotion policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    op: Literal[">=", "<=", "not_worse_than_current", "better_than_baselines"]
    value: float | None = None
    bound: Literal["value", "lower", "upper"] = "value"

    @model_validator(mode="after")
    def _value_where_needed(self) -> Rule:
        if self.op in PAIRED:
            if self.metric not in PAIRED_METRICS:
                raise ValueError(f"`{self.op}` compares {', '.join(PAIRED_METRICS)}; {self.metric} is none of these")
            if self.value is not None:
                raise ValueError(f"`{self.op}` compares two models and takes no `value`; remove it")
        elif self.value is None:
            raise ValueError(f"a rule with op `{self.op}` needs a `value`; add one")
        return self

    def __str__(self) -> str:
        if self.op == "not_worse_than_current":
            return f"{self.metric} not worse than the current version's"
        if self.op == "better_than_baselines":
            return f"{self.metric} better than the baselines'"
        judged = self.metric if self.bound == "value" else f"{self.bound} bound of {self.metric}"
        return f"{judged} {self.op} {self.value:g}"


@dataclass(frozen=True)
class Figure:
    """A metric with its bootstrap interval; the bounds are NaN where none was computed."""

    value: float
    lower: float = math.nan
    upper: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """Current and new version on the same test examples, none of which the current version was fitted on.

    `difference` is new minus current, turned so that above zero the new one is better.
    """

    metric: str
    current: str
    examples: int
    new_value: float
    current_value: float
    difference: Figure


@dataclass(frozen=True)
class Decision:
    """Whether to promote, one sentence per rule, and the figures that they rest on."""

    promote: bool
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


ROUNDING = 1e-6  # relative
FEWEST_SHARED_EXAMPLES = 30  # below this a paired interval says nothing; the rule then passes and says so


def decide(
    policy: Sequence[Rule],
    metrics: Mapping[str, Figure],
    comparisons: Mapping[str, Comparison] | None = None,
    *,
    incomparable: str = "no version is current",
    baselines: Mapping[str, Mapping[str, Comparison]] | None = None,
) -> Decision:
    """Judge a new version.

    Parameters
    ----------
    metrics
        Figures on the new version's test examples, by metric.
    comparisons
        By metric; empty where there is nothing to compare with, for the reason given by `incomparable`.
    baselines
        By name and metric.
    """
    outcomes = [_judge(rule, metrics, comparisons or {}, incomparable, baselines or {}) for rule in policy]
    return Decision(
        promote=all(passed for passed, _ in outcomes),
        reasons=tuple(("passed: " if passed else "failed: ") + sentence for passed, sentence in outcomes),
        evidence={
            "rules": [
                {**rule.model_dump(), "passed": passed, "reason": sentence}
                for rule, (passed, sentence) in zip(policy, outcomes, strict=True)
            ],
            "comparisons": {name: asdict(comparison) for name, comparison in (comparisons or {}).items()},
            "baselines": {
                name: {metric: asdict(one) for metric, one in theirs.items()}
                for name, theirs in (baselines or {}).items()
            },
        },
    )


def _judge(
    rule: Rule,
    metrics: Mapping[str, Figure],
    comparisons: Mapping[str, Comparison],
    incomparable: str,
    baselines: Mapping[str, Mapping[str, Comparison]],
) -> tuple[bool, str]:
    if rule.op == "better_than_baselines":
        return _judge_baselines(rule, baselines)
    if rule.op == "not_worse_than_current":
        return _judge_comparison(rule, comparisons.get(rule.metric), incomparable)
    figure = metrics.get(rule.metric)
    if figure is None:
        known = ", ".join(sorted(metrics))
        return False, f"{rule}: this model has no metric `{rule.metric}`; it has {known}"
    judged = getattr(figure, rule.bound)
    shown = f"{rule}: {judged:.4g}" + (f" (value {figure.value:.4g})" if rule.bound != "value" else "")
    # NaN (a metric that could not be computed) fails, whichever way the rule points.
    return bool(judged >= rule.value if rule.op == ">=" else judged <= rule.value), shown


def _judge_comparison(rule: Rule, comparison: Comparison | None, incomparable: str) -> tuple[bool, str]:
    if comparison is None:
        return True, f"{rule}: nothing to compare with: {incomparable}"
    figures = f"{comparison.new_value:.4g} against {comparison.current_value:.4g} of {comparison.current[:16]}"
    if comparison.examples < FEWEST_SHARED_EXAMPLES:
        return True, f"{rule}: {figures}, on {comparison.examples} shared examples, too few to tell"
    difference = comparison.difference
    interval = f"paired difference {difference.value:+.4g} [{difference.lower:+.4g}, {difference.upper:+.4g}]"
    # a difference that only rounding makes is none
    passed = not difference.upper < -ROUNDING * abs(comparison.current_value)
    return passed, f"{rule}: {figures}; {interval} on {comparison.examples} examples"


def _judge_baselines(rule: Rule, baselines: Mapping[str, Mapping[str, Comparison]]) -> tuple[bool, str]:
    found = {name: theirs[rule.metric] for name, theirs in baselines.items() if rule.metric in theirs}
    if not found:
        return False, f"{rule}: there is none with this metric; give `baselines` in the config"
    nearest = min(found, key=lambda name: found[name].difference.value)
    difference = found[nearest].difference
    return difference.value > 0, (
        f"{rule}: {found[nearest].new_value:.4g} against {found[nearest].current_value:.4g} of {nearest}, the best of "
        f"{len(found)}; paired difference {difference.value:+.4g} [{difference.lower:+.4g}, {difference.upper:+.4g}]"
    )
