"""What of a model's YAML file has to fit together beyond each key for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stellar.checked_yaml import KeyFaultError
from stellar.errors import InputError
from stellar.expressions import columns_of
from stellar.models.base import ARCHITECTURES, ParameterError, create
from stellar.models.preparation import power_name

if TYPE_CHECKING:
    from stellar.training.config import ModelConfig, Target

Key = tuple[str | int, ...]


def check_model(config: ModelConfig) -> None:
    """Refuse a file whose keys do not fit together.

    Raises
    ------
    KeyFaultError
        With the key that is wrong.
    """
    _architectures(config)
    expressions = dict(_expressions(config))
    for at, sql in expressions.items():
        try:
            columns_of(sql)
        except InputError as fault:
            raise KeyFaultError(f"{fault}; mend the SQL", *at) from None
    _made_names(config)
    _no_target_among_inputs(config)
    for at, target in _targets(config):
        if config.source and not config.frame and target.column is None:
            raise KeyFaultError(
                "a file's rows have no labels beside them; name the `column` of the file that holds it", *at
            )
    for number, name in enumerate(config.polynomials.columns if config.polynomials else ()):
        if name not in config.columns:
            raise KeyFaultError(
                f"{name} is not among `columns`; add it there, or take it out", "polynomials", "columns", number
            )
    _search(config)
    if config.split.stratify and config.target.kind != "quantity":
        raise KeyFaultError("`stratify` is of a quantity; classes are dealt evenly by `folds`", "split", "stratify")
    rules = [one.rule for one in config.filters]
    if twice := [number for number, rule in enumerate(rules) if rule in rules[:number]]:
        raise KeyFaultError(f"two filters are called {rules[twice[0]]!r}; rename one", "filters", twice[0], "rule")
    is_log = config.params.get("log_target") is True
    if config.target.transform == "log10" and is_log:
        raise KeyFaultError(
            "`target.transform` takes the logarithm already; take `log_target` out", "params", "log_target"
        )


def check_parameters(config: ModelConfig) -> None:
    """Refuse hyper-parameters that an architecture does not have, or of a wrong type.

    It imports the architecture's library, which costs seconds, so it is asked before a training and not by each
    reader of the file.

    Raises
    ------
    InputError
        With file, line and what the architecture knows.
    """
    targets = tuple(target.name for target in config.targets)
    given = [((), config), *(((("baselines", name)), one) for name, one in config.baselines.items())]
    for prefix, one in given:
        columns = one.columns or config.columns
        features = config.preparation.columns if one is config else columns
        try:
            create(one.architecture, features=features, targets=targets if one is config else targets[:1], **one.params)
        except InputError as fault:
            at = fault.at if isinstance(fault, ParameterError) else ()
            raise config.fault(str(fault), *prefix, "params", *at) from None
    for name, parameter in (config.search.space if config.search else {}).items():
        ends = parameter.choices or [parameter.low, parameter.high]
        for value in ends:
            value = int(value) if parameter.int else value
            try:
                create(config.architecture, features=config.columns, targets=targets, **{**config.params, name: value})
            except InputError as fault:
                raise config.fault(str(fault), "search", "space", name) from None


def reads(config: ModelConfig) -> Iterator[tuple[Key, str]]:
    """Each column that the frame must have, with the key that names it; derived ones are followed to their sources."""
    named: list[tuple[Key, str]] = []
    for key, names in (("columns", config.columns), ("watch", config.watch), ("fit_columns", config.fit_columns),
                       ("needs", config.needs)):  # fmt: skip
        named += [((key, number), name) for number, name in enumerate(names)]
    for base, one in config.baselines.items():
        named += [(("baselines", base, "columns", number), name) for number, name in enumerate(one.columns or ())]
    sliced = ((number, one) for number, one in enumerate(config.slices) if not one.predicted)
    named += [(("slices", number, "column"), one.column) for number, one in sliced]
    named += [(("report", key), name) for key, name in config.report.named.items()]
    if config.clusters:
        named += [(("clusters", "columns", number), name) for number, name in enumerate(config.clusters.columns)]
    if config.split.column:
        named.append((("split", "column"), config.split.column))
    for at, sql in _expressions(config):
        named += [(at, name) for name in sorted(columns_of(sql))]
    for at, target in _targets(config):
        if target.correction:
            named.append(((*at, "correction", "reference"), target.correction.reference))
        named.append(((*at, "name"), target.name))
    made = {target.truth for target in config.targets if target.correction}
    for at, name in named:
        if name not in config.derived and name not in made:
            yield at, name


def _expressions(config: ModelConfig) -> Iterator[tuple[Key, str]]:
    yield from ((("derived", name), sql) for name, sql in config.derived.items())
    yield from ((("filters", number, "where"), one.where) for number, one in enumerate(config.filters))
    if isinstance(config.weights, str):
        yield ("weights",), config.weights


def _targets(config: ModelConfig) -> Iterator[tuple[Key, Target]]:
    yield ("target",), config.target
    yield from ((("further_targets", number), one) for number, one in enumerate(config.further_targets))


def _architectures(config: ModelConfig) -> None:
    given = [(("architecture",), config.architecture)]
    given += [(("baselines", name, "architecture"), one.architecture) for name, one in config.baselines.items()]
    for at, name in given:
        if name not in ARCHITECTURES:
            raise KeyFaultError(
                f"architecture {name!r} is not known; use one of: {', '.join(sorted(ARCHITECTURES))}", *at
            )


def _made_names(config: ModelConfig) -> None:
    """Names that are made must be new, and a derived column may read only those before it."""
    targets = {name for one in config.targets for name in (one.name, one.truth)}
    before: set[str] = set()
    for name, sql in config.derived.items():
        if not name.isidentifier():
            raise KeyFaultError(
                f"{name!r} is no name of a column: letters, digits and _, a letter first", "derived", name
            )
        if name in targets | {*config.keys}:
            raise KeyFaultError(f"{name} is a target's or an id's name; choose another", "derived", name)
        if later := sorted(columns_of(sql) & (set(config.derived) - before)):
            raise KeyFaultError(
                f"it reads {', '.join(later)}, which comes after it or is itself; put that before it", "derived", name
            )
        before.add(name)
    made = [power_name(factors) for factors in config.preparation.powers]
    made += [f"cluster_{k + 1}" for k in range(config.preparation.components)]
    made += [f"{name}_missing" for name in config.columns if config.missing.indicators]
    if taken := sorted({*made} & {*config.columns, *config.derived, *targets}):
        raise KeyFaultError(
            f"{taken[0]} is made beside the columns and is seen by the model as it is; take it out", "columns"
        )


def _no_target_among_inputs(config: ModelConfig) -> None:
    """A model that sees its answer learns nothing else."""
    answers = {name for one in config.targets for name in (one.name, one.truth, one.column) if name}
    answers |= {one.correction.reference for one in config.targets if one.correction}
    for number, name in enumerate(config.columns):
        if leaks := sorted(answers & {name, *_sources(name, config.derived)}):
            raise KeyFaultError(
                f"{name} is, or is made from, {leaks[0]}, which the model is to tell; take it out", "columns", number
            )


def _sources(name: str, derived: dict[str, str]) -> set[str]:
    inner = columns_of(derived[name]) if name in derived else frozenset()
    return {*inner, *(deeper for one in inner for deeper in _sources(one, derived))}


def _search(config: ModelConfig) -> None:
    if config.search is None:
        return
    of_classes = config.search.metric in ("accuracy", "macro_f1", "log_loss")
    if of_classes == (config.target.kind == "quantity"):
        known = "mae, rmse, crps" if of_classes else "accuracy, macro_f1, log_loss"
        raise KeyFaultError(
            f"{config.search.metric} is not of a {config.target.kind}; use one of: {known}", "search", "metric"
        )
