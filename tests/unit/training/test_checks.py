"""Every kind of wrong model file is refused with its file, line and remedy."""

from textwrap import dedent

import pytest

from stellar.errors import InputError
from stellar.training.checks import check_parameters, reads
from stellar.training.config import load_config

RIGHT = dedent("""\
    name: my-model
    description: A model of the tests' own
    family: photometry
    source: {file: stars.csv, id: source_id}
    target:
      name: teff_k
      kind: quantity
      column: teff
    derived:
      abs_mag: g + 5 * log10(parallax) - 10
    filters:
      - {rule: bright, where: g < 19}
    missing: {sentinels: [-999], rule: median}
    columns:
      - bp_rp
      - abs_mag
    polynomials: {columns: [bp_rp], degree: 2}
    architecture: xgb_quantile
    params:
      rounds: 20
    search:
      trials: 3
      metric: mae
      space:
        max_depth: {low: 2, high: 6, int: true}
    split:
      fractions: {train: 0.6, validation: 0.1, calibration: 0.15, test: 0.15}
    calibration: none
    conformal: {alpha: 0.1}
    slices:
      - {column: bp_rp, edges: [0, 1]}
    policy:
      - {metric: mae, op: "<=", value: 500}
    attributions:
      - made by the tests
    profiles:
      tiny:
        min_examples: 50
    """)

WRONG = {
    "unknown key": ("columns:", "colums:", "colums: there is no such key; did you mean `columns`?"),
    "unknown key within": ("  column: teff", "  colum: teff", "did you mean `column`?"),
    "wrong type": ("conformal: {alpha: 0.1}", "conformal: {alpha: much}", "conformal.alpha"),
    "missing key": ("family: photometry\n", "", "family: this key is missing; add it"),
    "duplicate key": ("calibration: none", "family: spectra", "`family` is given twice; keep one"),
    "bad YAML": ("  - bp_rp\n", "  - [bp_rp\n", "not valid YAML"),
    "name is not the file's": ("name: my-model", "name: your-model", "write `name: my-model`"),
    "unknown architecture": ("xgb_quantile", "xgb_quantiles", "architecture 'xgb_quantiles' is not known; use one of"),
    "column twice": ("  - abs_mag", "  - bp_rp", "given twice: bp_rp; keep one of each"),
    "fractions": ("train: 0.6", "train: 0.7", "must be above 0 and add up to 1, not 1.1"),
    "fractions and folds": ("split:\n", "split:\n  folds: 5\n", "give `fractions` or `folds`, one of them"),
    "bands out of order": (
        "  column: teff",
        "  column: teff\n  class_name: c\n  bands: {K: 3900, M: 0}",
        "must ascend; put them in order",
    ),
    "unknown op": ('"<="', '"<"', "policy.0.op"),
    "policy without value": (", value: 500", "", "needs a `value`; add one"),
    "paired metric": ('"<=", value: 500', "not_worse_than_current}\n  - {metric: ece, op: not_worse_than_current",
                      "ece is none of these"),
    "expression": ("log10(parallax)", "log10(parallax", "does not parse"),
    "filter": ("g < 19", "g <", "does not parse"),
    "expression of many rows": ("g < 19", "g < (select max(g) from t)", "takes more than its row"),
    "derived before its source": ("  abs_mag: g", "  first: abs_mag + 1\n  abs_mag: g", "put that before it"),
    "unknown calibration": ("calibration: none", "calibration: platt", "'temperature', 'isotonic' or 'none'"),
    "alpha out of range": ("alpha: 0.1", "alpha: 0.7", "less than 0.5"),
    "dataset's name": ("source: {file: stars.csv, id: source_id}", "features: sed\nexample: a", "features"),
    "source and features": ("family: photometry", "family: photometry\nfeatures: features.sed", "take `features` out"),
    "source without column": ("  column: teff\n", "", "name the `column` of the file"),
    "polynomial of another column": ("{columns: [bp_rp], degree", "{columns: [g_rp], degree", "g_rp is not among"),
    "search upside down": ("low: 2, high: 6", "low: 6, high: 2", "low must be below high"),
    "search of half a range": ("low: 2, high: 6, int: true", "low: 2", "give `low` and `high`, or `choices`"),
    "search by a class's metric": ("metric: mae\n", "metric: macro_f1\n", "use one of: mae, rmse, crps"),
    "slice edges": ("edges: [0, 1]", "edges: [1, 0]", "the edges must ascend"),
    "correction without reference": (
        "  column: teff", "  column: teff\n  correction: {threshold: 9000}", "reference: this key is missing; add it",
    ),
    "correction of a class": (
        "  kind: quantity", "  kind: class\n  correction: {reference: r}", "belongs to a target of kind",
    ),
    "target among the columns": ("  - bp_rp", "  - teff", "which the model is to tell; take it out"),
    "target within a derived column": ("log10(parallax)", "log10(teff)", "columns.1: abs_mag is, or is made from, "),
    "value without a value": ("rule: median", "rule: value", "needs a `value`; add one"),
    "hash and order": ("split:\n", "split:\n  by: hash\n  order: 5\n", "take `order` out, or `by`"),
    "profile": ("min_examples: 50", "min_exampels: 50", "did you mean `min_examples`?"),
    "two filters of one name": (
        "where: g < 19}", "where: g < 19}\n  - {rule: bright, where: g > 3}", "two filters are called 'bright'",
    ),
    "weights": ("calibration: none", "weights: 1 +", "does not parse"),
}  # fmt: skip


def written(folder, text):
    path = folder / "my-model.yaml"
    path.write_text(text)
    return path


def line_of_change(before, after):
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next(number for number, (one, other) in enumerate(pairs, start=1) if one != other)


def test_the_right_one_is_right(tmp_path):
    config = load_config(written(tmp_path, RIGHT))
    check_parameters(config)
    assert (config.features, config.example, config.on_sky) == ("own.my_model", "source_id", True)
    assert config.datasets == {"features": "own.my_model"}
    read = {name for _, name in reads(config)}
    assert read == {"bp_rp", "g", "parallax", "teff_k"}


@pytest.mark.parametrize("kind", WRONG)
def test_each_kind_of_fault_names_file_line_and_remedy(tmp_path, kind):
    old, new, said = WRONG[kind]
    assert RIGHT.count(old) >= 1
    text = RIGHT.replace(old, new, 1)
    path = written(tmp_path, text)
    with pytest.raises(InputError) as fault:
        check_parameters(load_config(path))
    first = next((line for line in str(fault.value).splitlines() if said in line), None)
    assert first, str(fault.value)
    named = int(first.removeprefix(f"{path}:").partition(":")[0])
    if kind not in ("missing key", "bad YAML", "target within a derived column"):
        # the line itself, or the section that lacks what it needs
        changed = line_of_change(RIGHT, text)
        assert changed - 3 <= named <= changed + 3, first


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("rounds: 20", "round: 20", 20, "params.round: xgb_quantile: unknown parameter round; known are"),
        ("rounds: 20", "rounds: many", 20, "takes a whole number"),
        ("rounds: 20", "log_target: 1", 20, "takes true or false"),
        ("max_depth: {low", "max_dept: {low", 25, "did you mean `max_depth`?"),
        ("{low: 2, high: 6, int: true}", "{low: 2, high: 6.5}", 25, "takes a whole number"),
        ("  rounds: 20", "  members: [{architecture: xgb_quantile, params: {round: 3}}, {architecture: xgb_quantile}]\n"
         "baselines: {b: {architecture: xgb_quantile, params: {x: 1}}}", 20, "unknown parameter members"),
    ],
)  # fmt: skip
def test_hyper_parameters_are_checked_with_their_lines(tmp_path, old, new, line, said):
    path = written(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(InputError) as fault:
        check_parameters(load_config(path))
    assert str(fault.value).startswith(f"{path}:{line}: ")
    assert said in str(fault.value)
