"""From current snapshots and a config to a registered, judged model version; one that is found is not trained again."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from stellar.engine.context import Context
from stellar.engine.keys import digest
from stellar.errors import InputError, IntegrityError
from stellar.lake.write import write_partition
from stellar.ledger.history import write_model
from stellar.ledger.snapshots import current_keys
from stellar.profile import list_profiles, load_profile
from stellar.registry import versions
from stellar.registry.bundle import Bundle
from stellar.registry.policy import Comparison, Decision, Figure, decide
from stellar.registry.promotion import CurrentChangedError, register
from stellar.registry.store import ArtifactStore, list_files
from stellar.registry.versions import MetricRow, NewVersion, Version, find_version, metrics_of
from stellar.training.card import Provenance, Subject, write_card
from stellar.training.checks import check_parameters
from stellar.training.compare import against_baselines, compare
from stellar.training.config import ModelConfig, load_config
from stellar.training.evaluate import evaluate_deals, figures_by_cell
from stellar.training.figures import Evaluation
from stellar.training.fit import Fitted, fit, fit_by_cell, new_model, split
from stellar.training.frame import Frame, NotTrainableError, build_frame
from stellar.training.report import write_report
from stellar.training.told import told
from stellar.training.trials import TrialStore

CODE_VERSION = "5"  # raise it whenever training, a model or an evaluation may give another result


@dataclass(frozen=True)
class TrainingResult:
    """What `train` did: `trained`, `found` (nothing to do) or `not_trainable` (too little to learn from)."""

    model: str
    outcome: Literal["trained", "found", "not_trainable"]
    version_key: str | None = None
    promoted: bool = False
    reasons: tuple[str, ...] = ()
    metrics: dict[str, Figure] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        return self.outcome == "found"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: figures as value, lower and upper, None where there is none."""
        return {**asdict(self), "reasons": list(self.reasons), "metrics": _plain(self.metrics)}


def train(
    ctx: Context,
    model: str | Path | ModelConfig,
    *,
    snapshots: Mapping[str, str] | None = None,
    seed: int | None = None,
    who: str = "pipeline",
) -> TrainingResult:
    """Train, evaluate, register and judge one model.

    The version's key is the hash of the frame's content, the config, the code's version, the seed and the versions of
    the libraries that fit it. Two attempts at once end as one: the second finds the first's version.

    Parameters
    ----------
    model
        A config, or its name or file, taken with the overrides of the home's profile.
    snapshots
        Dataset -> snapshot key, where not the current ones are to be used.
    seed
        `settings.seed` where not given.
    """
    config = model if isinstance(model, ModelConfig) else load_config(model, profile=ctx.settings.profile)
    check_parameters(config)
    seed = ctx.settings.seed if seed is None else seed
    try:
        pinned = _pin(ctx, config, snapshots or {})
        frame = build_frame(ctx, config, pinned)
        key = version_key(config, frame, seed)
        if (known := find_version(ctx.engine, key)) is not None:
            return _found(ctx, known, frame)
    except NotTrainableError as fault:
        return TrainingResult(config.name, "not_trainable", reasons=(str(fault),))
    with told(ctx, config, frame) as end:
        result = _train(ctx, config, key, frame, seed, who)
        end(result)
    return result


def _train(ctx: Context, config: ModelConfig, key: str, frame: Frame, seed: int, who: str) -> TrainingResult:
    """Fit, evaluate, register and judge a version that is not there yet."""
    by_cell = None
    started = time.monotonic()
    try:
        kept = ctx.settings.cache / "training" / CODE_VERSION
        fitted = fit(config, frame.table, seed, checkpoints=kept, trials=TrialStore(ctx, key))
    except NotTrainableError as fault:
        return TrainingResult(config.name, "not_trainable", reasons=(str(fault),))
    with suppress(NotTrainableError):  # too few cells for figures by cell are no reason to have no model
        by_cell = fit_by_cell(config, frame.table, seed)
    evaluation = evaluate_deals(config, fitted, frame.table, seed)
    if by_cell is not None:
        evaluation.figures |= figures_by_cell(config, by_cell, frame.table, seed)
    test = frame.table.take(fitted.test_rows)
    against = against_baselines(config, frame.table, test, evaluation, seed)
    new = _store(ctx, config, key, seed, frame, fitted, evaluation, started)
    version, decision = _register(ctx, config, new, evaluation, test, against, seed, who)
    write_model(ctx.engine, ctx.settings.artifacts, config.name)
    return TrainingResult(
        config.name,
        "trained",
        version.key,
        promoted=version.state == "current",
        reasons=decision.reasons,
        metrics=evaluation.figures,
        snapshots=frame.snapshots,
    )


def is_trained(ctx: Context, model: str | Path | ModelConfig) -> bool:
    """Whether `train` would find its version on the current snapshots, or has too little to train one."""
    return foresee(ctx, model)[0] != "to train"


def foresee(ctx: Context, model: str | Path | ModelConfig) -> tuple[str, str]:
    """What `train` would do on the current snapshots, without fitting anything.

    Returns
    -------
    outcome : str
        ``found`` (its version exists), ``not trainable`` or ``to train``.
    why : str
        Which version, what is missing, or on how many examples.
    """
    config = model if isinstance(model, ModelConfig) else load_config(model, profile=ctx.settings.profile)
    try:
        frame = build_frame(ctx, config, _pin(ctx, config, {}))
        version = find_version(ctx.engine, version_key(config, frame, ctx.settings.seed))
        if version is not None:
            return "found", f"version {version.number} {version.key[:16]}, {version.state}"
        split(config, frame.table, ctx.settings.seed)
    except NotTrainableError as fault:
        return "not trainable", str(fault)
    return "to train", f"{frame.table.num_rows:,} examples"


def version_key(config: ModelConfig, frame: Frame, seed: int) -> str:
    """Identity of the version that this frame, config and seed give with this code and these libraries."""
    searching = {"optuna"} if config.search else set()
    libraries = sorted({"numpy", "scikit-learn", *searching, *new_model(config).libraries})
    return digest(
        {
            "model": config.name,
            "frame": frame.sha256,
            "config": config.hash(),
            "code": CODE_VERSION,
            "seed": seed,
            "libraries": {name: metadata.version(name) for name in libraries},
        }
    )


def _pin(ctx: Context, config: ModelConfig, given: Mapping[str, str]) -> dict[str, str]:
    """Snapshot key of each dataset of the frame: the given one, or the current one."""
    names = sorted(set(config.datasets.values()))
    current = current_keys(ctx.engine)
    pinned = {name: given.get(name) or current.get(name) for name in names}
    absent = [name for name, key in pinned.items() if key is None]
    if absent:
        raise NotTrainableError(
            f"{config.name}: cannot train: no current snapshot of {', '.join(absent)}; {_how_to_get(ctx, absent)}"
        )
    return {name: key for name, key in pinned.items() if key is not None}


def _how_to_get(ctx: Context, absent: Sequence[str]) -> str:
    """What makes datasets that a home lacks: its own flow, or that of another profile."""
    held = {f"curated.{name}" for name in load_profile(ctx.settings.profile).curated}
    others = {name: [f"curated.{one}" for one in load_profile(name).curated] for name in list_profiles()}
    for dataset in absent:
        if dataset.startswith("curated.") and dataset not in held:
            having = [name for name, curated in others.items() if dataset in curated]
            if having:
                return (
                    f"{dataset} is of the profile {having[0]}, and this home holds {ctx.settings.profile}: "
                    f"`make run PROFILE={having[0]}` in a home of its own (STELLAR_HOME) brings it"
                )
    return "sync and build the catalogue first (`make run`)"


def _found(ctx: Context, version: Version, frame: Frame) -> TrainingResult:
    figures = {
        row.name: Figure(row.value, _or_nan(row.lower), _or_nan(row.upper))
        for row in metrics_of(ctx.engine, version.key)
        if row.slice == "all"
    }
    reasons = (f"found: {version} was made from the same examples, config, code and seed",)
    return TrainingResult(
        version.model, "found", version.key, version.state == "current", reasons, figures, frame.snapshots
    )


def _store(ctx: Context, config: ModelConfig, key: str, seed: int, frame: Frame, fitted: Fitted, evaluation: Evaluation,
           started: float) -> NewVersion:  # fmt: skip
    """Put everything that belongs to the version into the artifact store."""
    with tempfile.TemporaryDirectory(prefix="stellar-train-") as scratch:
        folder = Path(scratch)
        fitted.bundle.save(folder)
        _write_examples(folder, config, frame, fitted, evaluation)
        # as it is written: a derived column reads those before it
        text = json.dumps(config.model_dump(mode="json"), indent=1, allow_nan=False)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        if frame.corrections:
            _write_json(folder / "correction.json", {name: one.to_dict() for name, one in frame.corrections.items()})
        _write_json(folder / "metrics.json", {"figures": _plain(evaluation.figures), "details": evaluation.details})
        if fitted.chosen:
            _write_json(folder / "search.json", fitted.chosen.to_dict())
        subject = Subject(config, key, seed, frame, fitted, evaluation, _provenance(ctx, frame))
        write_card(folder, subject)
        write_report(folder, subject)
        files = {name: digest for name, digest, _ in list_files(folder)}
        address = ArtifactStore(ctx.settings.artifacts).put(folder)
    return NewVersion(
        key=key,
        model=config.name,
        family=config.family,
        target=", ".join(target.name for target in config.targets),
        description=config.description.strip(),
        architecture=config.architecture,
        config=_told(config, frame, fitted),
        code_version=CODE_VERSION,
        seed=seed,
        frame_hash=frame.sha256,
        artifact_sha256=address,
        artifact_files=files,
        training_rows=frame.table.num_rows,
        training_s=time.monotonic() - started,
        metrics=tuple(_metric_rows(evaluation, fitted)),
        snapshots={role: frame.snapshots[dataset] for role, dataset in config.datasets.items()},
    )


def _told(config: ModelConfig, frame: Frame, fitted: Fitted) -> dict[str, Any]:
    """The config as a version keeps it, with what was found out while it was trained."""
    found: dict[str, Any] = {"reads": list(fitted.bundle.reads)}
    if frame.corrections:
        found["corrections"] = {name: one.to_dict() for name, one in frame.corrections.items()}
    if fitted.chosen:
        found["chosen"] = fitted.chosen.to_dict()
    return {**config.model_dump(mode="json"), **found}


def _register(ctx: Context, config: ModelConfig, new: NewVersion, evaluation: Evaluation, test: pa.Table,
              against: Mapping[str, Mapping[str, Comparison]], seed: int,
              who: str) -> tuple[Version, Decision]:  # fmt: skip
    """Judge against whatever is current and register; once more where another attempt changed that meanwhile."""
    while True:
        current = versions.current(ctx.engine, config.name)
        comparisons, why_not = _compare(ctx, config, current, evaluation, test, seed)
        decision = decide(config.policy, evaluation.figures, comparisons, incomparable=why_not, baselines=against)
        try:
            compared_with = current.key if current else None
            return register(
                ctx.engine, new, decision, compared_with=compared_with, who=who, run_id=ctx.run_id
            ), decision
        except CurrentChangedError:
            continue


def _compare(ctx: Context, config: ModelConfig, current: Version | None, evaluation: Evaluation, test: pa.Table,
             seed: int) -> tuple[dict[str, Comparison], str]:  # fmt: skip
    """Paired figures against the current version, or why there are none.

    Both predict the new test examples, without those of stars that the current version was fitted, stopped or
    calibrated on. One that was tested by folds learned from every star in the end: its answers are those of the folds,
    for the examples that both have. A current version that cannot predict them (other feature columns, a damaged
    artifact) is no use for scoring either, so it does not hold the new one back.
    """
    if current is None:
        return {}, "no version is current"
    try:
        folder = ArtifactStore(ctx.settings.artifacts).get(current.artifact_sha256)
        if current.config.get("split", {}).get("folds"):
            rows, theirs = _by_folds(config, folder, test)
        else:
            seen = _seen_stars(folder)
            rows = np.flatnonzero([star not in seen for star in test["object_id"].to_pylist()])
            theirs = Bundle.load(folder).predict(test.take(rows))
        found = compare(config, evaluation, theirs, rows, current.key, test, seed)
    except (InputError, IntegrityError) as fault:
        return {}, f"the current version {current.key[:16]} cannot predict the test examples: {fault}"
    return found, f"{current.key[:16]} has answers for none of the test examples that it did not learn from"


def _by_folds(config: ModelConfig, folder: Path, test: pa.Table) -> tuple[np.ndarray, pa.Table]:
    """Rows of `test` that a version has its folds' answers for, and these."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "test_predictions.parquet") as file:
        answers = file.read()
    if config.example not in answers.column_names:
        raise InputError(f"its examples have no {config.example}")
    place = pc.index_in(test[config.example], value_set=answers[config.example].combine_chunks())
    rows = np.flatnonzero(pc.is_valid(place).to_numpy())
    return rows, answers.take(place.drop_null())


def _seen_stars(folder: Path) -> set[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "examples.parquet") as file:
        examples = file.read(columns=["object_id", "part"])
    pairs = zip(examples["object_id"].to_pylist(), examples["part"].to_pylist(), strict=True)
    return {star for star, part in pairs if part != "test"}


def _write_examples(folder: Path, config: ModelConfig, frame: Frame, fitted: Fitted, evaluation: Evaluation) -> None:
    """Which example was in which part, with its truth; and the predictions on the test part."""
    targets = {target.truth: target.name for target in config.targets}
    originals = [target.name for target in config.targets]
    keys = frame.table.select(list(dict.fromkeys([*config.keys, *originals, *targets])))
    examples = keys.append_column("part", pa.array(fitted.parts.tolist(), pa.string()))
    write_partition(examples, folder / "examples.parquet", id_column=config.example)
    test = frame.table.select([*config.keys, *targets]).take(fitted.test_rows)
    test = test.rename_columns({truth: f"true_{name}" for truth, name in targets.items()})
    for name in evaluation.predictions.column_names:
        test = test.append_column(name, evaluation.predictions[name])
    write_partition(test, folder / "test_predictions.parquet", id_column=config.example)


def _provenance(ctx: Context, frame: Frame) -> Provenance:
    """Snapshots and batches upstream of the frame."""
    roots = {"roots": sorted(frame.snapshots.values())}
    upstream = "select w.parent from unnest(cast(:roots as text[])) as root, lineage.walk_up(root) as w"
    with ctx.engine.connect() as connection:
        snapshots = connection.execute(
            sa.text(f"""select dataset, key, rows from lake.snapshot where key in ({upstream} where
                        parent_kind = 'snapshot') order by dataset, key"""),  # noqa: S608 - a constant
            roots,
        )
        batches = connection.execute(
            sa.text(f"""select survey, release, dataset, count(*) as batches, sum(row_count) as rows
                        from ingest.batch where batch_id in ({upstream} where parent_kind = 'batch')
                        group by survey, release, dataset order by survey, release, dataset"""),  # noqa: S608 - a constant
            roots,
        )
        return Provenance([dict(row) for row in snapshots.mappings()], [dict(row) for row in batches.mappings()])


def _metric_rows(evaluation: Evaluation, fitted: Fitted) -> Iterator[MetricRow]:
    yield from evaluation.rows()
    for part, count in zip(*np.unique(fitted.parts, return_counts=True), strict=True):
        yield MetricRow("examples", float(count), n=int(count), split=str(part))


def _plain(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | None]]:
    return {
        name: {part: _known(getattr(one, part)) for part in ("value", "lower", "upper")}
        for name, one in figures.items()
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
