"""Parts of a report about the inputs: what matters, where the stars lie, how training and test examples differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.evaluation import plots_inputs
from stellar.pages import Gallery, Part, Picture, Table, Text
from stellar.training.card import Subject
from stellar.training.evaluate import slice_values
from stellar.training.frame import is_numeric, numbers, true_classes
from stellar.training.importance import Importance, importance
from stellar.training.report_columns import Columns, absolute_magnitude

MOST_SHOWN = 24  # distributions with a picture; the table has them all


@dataclass(frozen=True)
class Seen:
    """What of the frame the report shows.

    Attributes
    ----------
    test : pyarrow.Table
        Test examples with their columns of single numbers, in the order of the evaluation.
    learnt : pyarrow.Table
        Examples that some model learned from, with the same columns.
    columns : Columns
    slices : dict
        Name -> values, float64[n], of the test examples, and inner edges (None: runs of equal size).
    importances : dict
        Of each target that has one.
    """

    test: pa.Table
    learnt: pa.Table
    columns: Columns
    slices: dict[str, tuple[np.ndarray, Sequence[float] | None]]
    importances: dict[str, Importance]

    @classmethod
    def of(cls, subject: Subject) -> Seen:
        config, frame, fitted = subject.config, subject.frame.table, subject.fitted
        single = frame.select([one.name for one in frame.schema if is_numeric(one.type)])
        test = single.take(pa.array(fitted.test_rows))
        learnt = single.filter(pa.array(np.any([one.learnt for one in fitted.tested], axis=0)))
        columns = Columns.of(config, single.schema)
        slices: dict[str, tuple[np.ndarray, Sequence[float] | None]] = {}
        for part in config.slices:
            answers = subject.evaluation.predictions
            slices[part.name] = (slice_values(answers if part.predicted else test, part), part.edges)
        for name in (columns.magnitude, columns.temperature, columns.extinction):
            if name and name not in slices:
                slices[name] = (numbers(test, name), None)
        return cls(test, learnt, columns, slices, _importances(subject))


def _importances(subject: Subject) -> dict[str, Importance]:
    """Of the model that most examples were tested on, on examples that it did not learn from."""
    tested = max(subject.fitted.tested, key=lambda one: len(one.rows))
    rows = subject.frame.table.take(pa.array(tested.rows))
    meaning = subject.fitted.bundle.meaning
    targets = [*([meaning.target] if meaning.kind == "class" else []), *meaning.quantities]
    truth = {one.name: one.truth for one in subject.config.targets}
    found = {name: importance(tested.bundle, rows, name, subject.seed, truth.get(name)) for name in targets}
    return {name: one for name, one in found.items() if one}


def features(subject: Subject, seen: Seen) -> list[Part]:
    """Bars of the mean importance, and single contributions where they are known."""
    if not seen.importances:
        return [Text("This model reads sequences, whose single values have no importance of their own.")]
    made: list[Part] = []
    for target, one in seen.importances.items():
        if one.method == "shap":
            text = (
                f"What each feature adds to the answer of {target}: SHAP values of {one.rows} test examples, as "
                "XGBoost computes them from its trees. They say what the model does, not what causes what; features "
                "that tell the same share what they add."
            )
        else:
            text = (
                f"How much worse {target} is told when one feature's values are dealt anew among {one.rows} test "
                "examples; the lines are the spread of three deals. A feature whose news another one has too loses "
                "little."
            )
        title = f"Importance of the features for {target}"
        pictures = [plots_inputs.importance_bars(one.names, one.values, one.unit, title, one.spread, one.classes)]
        if one.contributions is not None and one.inputs is not None:
            unit = "log odds of the answer" if one.classes else one.unit.partition(", ")[2]
            pictures.append(plots_inputs.swarm(one.names, one.contributions, one.inputs, unit))
        made += [Text(text), Gallery(pictures)]
    return made


def diagrams(subject: Subject, seen: Seen) -> list[Part]:
    """Hertzsprung-Russell and colour-temperature diagrams, where the frame has the columns."""
    columns, meaning = seen.columns, subject.fitted.bundle.meaning
    if columns.colour is None:
        return []
    colour, pictures = numbers(seen.test, columns.colour), list[Picture]()
    height, upside_down = absolute_magnitude(columns, seen.test), True
    if height is None or not np.isfinite(height[1] + colour).any():
        height = (columns.magnitude, numbers(seen.test, columns.magnitude)) if columns.magnitude else None
        title = "Colour and magnitude"
    else:
        title = "Hertzsprung-Russell diagram"
    predictions = subject.evaluation.predictions
    if height is not None and np.isfinite(height[1] + colour).any():
        names = (columns.colour, height[0])
        for target in meaning.quantities:
            said = predictions[target].to_numpy()
            pictures.append(
                plots_inputs.star_diagram(
                    colour, height[1], said, names, f"predicted {target}", f"{title}: predicted {target}",
                    upside_down=upside_down,
                )
            )  # fmt: skip
            residual = said - subject.evaluation.truth[target]
            if np.isfinite(residual + height[1] + colour).any():
                pictures.append(
                    plots_inputs.star_diagram(
                        colour, height[1], residual, names, f"residual of {target}", f"{title}: residuals of {target}",
                        upside_down=upside_down, about_zero=True,
                    )
                )  # fmt: skip
        if meaning.class_column:
            classes = np.asarray(predictions[meaning.class_column].to_pylist(), dtype=object)
            pictures.append(
                plots_inputs.class_diagram(
                    colour, height[1], classes, names, f"{title}: predicted classes", upside_down=upside_down
                )
            )
    target = columns.temperature if columns.temperature in meaning.quantities else None
    if target and np.isfinite(colour + subject.evaluation.truth[target]).any():
        pictures.append(
            plots_inputs.colour_temperature(
                colour, subject.evaluation.truth[target], predictions[target].to_numpy(), (columns.colour, target)
            )
        )
    return [Gallery(pictures)] if pictures else []


def distributions(subject: Subject, seen: Seen) -> list[Part]:
    """Targets and inputs of the training and the test examples: small pictures, and a table of all."""
    config, made = subject.config, list[Part]()
    for target in config.targets:
        if target.kind == "class":
            classes = true_classes(subject.fitted.bundle.meaning, subject.frame.table)
            learnt = np.any([one.learnt for one in subject.fitted.tested], axis=0)
            made.append(plots_inputs.class_shares(classes[learnt], classes[subject.fitted.test_rows], target.name))
    numeric = [name for name in dict.fromkeys([*config.columns, *config.watch]) if name in seen.test.column_names]
    weight = _weights(seen)
    shown = sorted(numeric, key=lambda name: -weight.get(name, 0.0))[:MOST_SHOWN]
    quantities = [target.truth for target in config.targets if target.kind == "quantity"]
    pairs = {name: (numbers(seen.learnt, name), numbers(seen.test, name)) for name in [*quantities, *numeric]}
    pictures = [plots_inputs.distribution(*pairs[name], name) for name in [*quantities, *shown]]
    if pictures:
        made.append(Gallery(pictures, small=True))
    if len(shown) < len(numeric):
        made.append(Text(f"Pictures of the {len(shown)} inputs that matter most; the table has all {len(numeric)}."))
    header = ("column", "missing in training", "missing in test", "median in training", "median in test",
              "1% in training", "99% in training")  # fmt: skip
    rows = [_row(name, *pair) for name, pair in pairs.items()]
    if rows:
        made.append(Table(header, rows, "Targets and inputs"))
    if left := [name for name in config.columns if name not in seen.test.column_names]:
        made.append(Text(f"Not shown, since they hold no single numbers: {', '.join(left)}."))
    return made


def _weights(seen: Seen) -> dict[str, float]:
    """Importance of each feature, as a share of the largest one of each target."""
    found: dict[str, float] = {}
    for one in seen.importances.values():
        whole = one.values if one.values.ndim == 1 else one.values.sum(axis=1)
        for name, value in zip(one.names, whole / max(float(whole.max()), 1e-30), strict=True):
            found[name] = max(found.get(name, 0.0), float(value))
    return found


def _row(name: str, learnt: np.ndarray, test: np.ndarray) -> tuple[str | float | None, ...]:
    missing = [f"{(~np.isfinite(values)).mean():.1%}" if len(values) else None for values in (learnt, test)]
    known = [values[np.isfinite(values)] for values in (learnt, test)]
    medians = [float(np.median(values)) if len(values) else None for values in known]
    ends = [float(end) for end in np.quantile(known[0], [0.01, 0.99])] if len(known[0]) else [None, None]
    return name, *missing, *medians, *ends
