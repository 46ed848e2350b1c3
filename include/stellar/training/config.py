"""A model's YAML file: what it learns from what, and when it may be promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from stellar.checked_yaml import KeyFaultError, Section, line_of, load_yaml
from stellar.engine.keys import digest
from stellar.errors import InputError
from stellar.models.preparation import Preparation, products
from stellar.registry.policy import Rule
from stellar.settings import CONFIG
from stellar.training.checks import check_model
from stellar.training.sections import (
    COLUMN,
    Balance,
    Clusters,
    Correction,
    Filter,
    Missing,
    Polynomials,
    Report,
    Search,
    Source,
    Stratify,
)

MODELS = CONFIG / "models"
_DATASET = r"^[a-z]+\.[a-z0-9_]+$"


class Target(Section):
    """What is learned: a class, or a quantity (with its unit as the name's last part) and classes by its range."""

    name: str = Field(pattern=COLUMN)
    kind: Literal["class", "quantity"]
    label: str | None = Field(None, description="`target` in features.labels; the name where not given")
    column: str | None = Field(None, description="Column of the features that holds it; then no label is looked for")
    transform: Literal["log10", "none"] = Field("none", description="Scale on which a quantity is learned")
    correction: Correction | None = Field(None, description="Of catalogue temperatures of hot stars")
    class_name: str | None = Field(None, pattern=COLUMN, description="Column of the class that `bands` give")
    bands: dict[str, float] | None = Field(None, description="Class -> lower edge of its range, ascending")
    min_count: int = Field(20, ge=1, description="Classes with fewer examples follow `rare`")
    rare: str = Field("drop", description="`drop`, or the class into which rare classes are merged")
    scale: Literal["mk"] | None = Field(None, description="Order of the classes: `mk`, by spectral subtype")

    @model_validator(mode="after")
    def _bands_of_a_quantity(self) -> Target:
        if self.kind == "class" and (self.bands or self.class_name):
            raise ValueError("`bands` and `class_name` belong to a target of kind `quantity`; remove them")
        if bool(self.bands) != bool(self.class_name):
            raise ValueError("`bands` and `class_name` go together; give both or neither")
        edges = list((self.bands or {}).values())
        if edges != sorted(set(edges)):
            raise KeyFaultError("the lower edges in `bands` must ascend; put them in order", "bands")
        if self.column and self.label:
            raise KeyFaultError(
                "`label` names a label of features.labels, and `column` takes its place; keep one", "label"
            )
        for key, given in (("transform", self.transform != "none"), ("correction", self.correction is not None)):
            if given and self.kind == "class":
                raise KeyFaultError(f"`{key}` belongs to a target of kind `quantity`; remove it", key)
        return self

    @property
    def truth(self) -> str:
        """Column of the frame that is learned and tested against."""
        return f"{self.name}_corrected" if self.correction else self.name

    @property
    def class_column(self) -> str | None:
        """Column that holds the predicted class, if this target has classes."""
        return self.name if self.kind == "class" else self.class_name


class Split(Section):
    """Which examples a model is tested on: one part of them (`fractions`), or each in its turn (`folds`).

    Whole stars, and whole sky cells of HEALPix `order` where it is given, stay together. With folds, the version that
    is kept learns from all examples; its figures, calibration and conformal thresholds come from models that did not
    see the example.
    """

    order: int | None = Field(None, ge=0, le=15)
    fractions: dict[Literal["train", "validation", "calibration", "test"], float] | None = None
    folds: int | None = Field(None, ge=2, le=20, description="Stratified by class")
    deals: int = Field(1, ge=1, le=20, description="Deal the folds so often, by seeds of their own; figures are means")
    by: Literal["hash"] | None = Field(
        None, description="A star's part follows from its id alone: rows that are added move no other"
    )
    stratify: Stratify | None = Field(None, description="Even shares of a quantity's ranges")
    also_by_cell: int | None = Field(
        None,
        ge=0,
        le=15,
        description="Test again by as many folds of whole HEALPix cells of this order, for figures that end in "
        "`_by_cell`: how well it does where no example lies near",
    )
    column: str | None = Field(
        None,
        pattern=COLUMN,
        description="Column of the frame: `train` marks examples that are only learned from, `test` those that are "
        "only tested on (another survey's); goes with `folds`, which the others are dealt to",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if (self.fractions is None) == (self.folds is None):
            raise ValueError("give `fractions` or `folds`, one of them")
        for name, given in (("column", self.column), ("deals", self.deals > 1)):
            if given and not self.folds:
                raise ValueError(f"`{name}` goes with `folds`; give `folds`")
        if self.by and (self.order is not None or self.column or self.stratify):
            other = "order" if self.order is not None else "column" if self.column else "stratify"
            raise KeyFaultError(
                f"by `hash`, a part follows from the star's id alone; take `{other}` out, or `by`", other
            )
        if self.also_by_cell is not None and (not self.folds or self.order is not None or self.column):
            raise ValueError("`also_by_cell` goes with `folds` alone, without `order` and `column`")
        return self

    @field_validator("fractions")
    @classmethod
    def _all_four(cls, fractions: dict[str, float] | None) -> dict[str, float] | None:
        if fractions is None:
            return None
        missing = {"train", "validation", "calibration", "test"} - set(fractions)
        if missing:
            raise ValueError(f"a fraction is missing for {', '.join(sorted(missing))}; name all four parts")
        if any(share <= 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
            raise ValueError(f"the fractions must be above 0 and add up to 1, not {sum(fractions.values()):g}")
        return fractions


class Baseline(Section):
    """A model of the target to be better than: fitted and tested on the same examples."""

    architecture: str
    columns: list[str] | None = Field(None, min_length=1, description="The model's own where not given")
    params: dict[str, Any] = Field(default_factory=dict)


class Conformal(Section):
    method: Literal["lac", "aps"] = Field(
        "lac", description="Smallest sets on average, or sets that grow with how hard a row is"
    )
    alpha: float = Field(gt=0, lt=0.5, description="Sets and intervals miss the truth at most this often")
    levels: bool = Field(False, description="Set the levels of all predicted quantiles right, not the interval alone")


class Slice(Section):
    """Test metrics by ranges of one column; `edges` are the inner borders."""

    column: str = Field(pattern=COLUMN)
    edges: list[float] = Field(min_length=1)
    absolute: bool = Field(False, description="Of the column's absolute value (a latitude)")
    predicted: bool = Field(False, description="Of the model's own answer in this column, not of the frame's")

    @property
    def name(self) -> str:
        """What the slices are along, for people."""
        return f"predicted {self.column}" if self.predicted else f"|{self.column}|" if self.absolute else self.column

    @field_validator("edges")
    @classmethod
    def _ascending(cls, edges: list[float]) -> list[float]:
        if edges != sorted(set(edges)):
            raise ValueError("the edges must ascend; put them in order, each once")
        return edges


class ModelConfig(Section):
    """One model. Its name is the file's name; its scores go to `scores.<name with _ for ->`."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    description: str = Field(min_length=10)
    family: Literal["photometry", "spectra", "lightcurves"]
    source: Source | None = Field(None, description="A file in the place of `features`: it becomes own.<name>")
    features: str = Field(pattern=_DATASET, description="Dataset that is scored, and trained from")
    example: str = Field(min_length=1, description="Column of `features` that identifies an example; a source's id")
    on_sky: bool = Field(True, description="Whether the features have positions; stars alone are grouped if not")
    inputs: dict[str, str] = Field(
        default_factory=dict, description="Further datasets for `frame`: name in the SQL -> dataset"
    )
    frame: str | None = Field(None, description="SQL of the training frame; features joined to labels where not given")
    target: Target
    further_targets: list[Target] = Field(default_factory=list, description="Quantities predicted beside the target")
    columns: list[str] = Field(min_length=1, description="Columns of `features`, or derived, that the model sees")
    derived: dict[str, str] = Field(
        default_factory=dict, description="Name -> SQL over the columns and the names before it"
    )
    filters: list[Filter] = Field(default_factory=list, description="Which examples are learned from and tested on")
    missing: Missing = Field(default_factory=Missing)
    polynomials: Polynomials | None = None
    clusters: Clusters | None = None
    weights: str | Balance | None = Field(None, description="SQL of an example's weight, or balance of the target")
    needs: list[str] = Field(
        default_factory=list,
        description="Columns of which a row must have one to be predicted; without it there is no answer, and why",
    )
    fit_columns: list[str] = Field(
        default_factory=list, description="Columns of the frame that are read while it learns, and not to predict"
    )
    watch: list[str] = Field(default_factory=list, description="Further numeric columns whose range is watched")
    architecture: str
    params: dict[str, Any] = Field(default_factory=dict)
    search: Search | None = Field(None, description="Trials that choose some of `params`")
    baselines: dict[str, Baseline] = Field(default_factory=dict, description="Name -> a model to be better than")
    split: Split
    calibration: Literal["temperature", "isotonic", "none"] = "temperature"
    conformal: Conformal = Field(default_factory=lambda: Conformal(method="lac", alpha=0.1))
    slices: list[Slice] = Field(default_factory=list)
    report: Report = Field(default_factory=lambda: Report.model_validate({}))
    policy: list[Rule] = Field(min_length=1)
    min_examples: int = Field(200, ge=20, description="With fewer labelled examples nothing is trained")
    attributions: list[str] = Field(min_length=1)
    _file: tuple[Path, str | None] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _source_is_the_features(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(source := content.get("source"), dict):
            return content
        own = f"own.{str(content.get('name')).replace('-', '_')}"
        if content.get("features", own) != own:
            raise KeyFaultError(f"the file of `source` becomes the dataset {own}; take `features` out", "features")
        return {**content, "features": own, "example": content.get("example", source.get("id"))}

    @model_validator(mode="after")
    def _whole(self) -> ModelConfig:
        check_model(self)
        return self

    @field_validator("columns")
    @classmethod
    def _once_each(cls, columns: list[str]) -> list[str]:
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(f"given twice: {', '.join(twice)}; keep one of each")
        return columns

    @field_validator("further_targets")
    @classmethod
    def _quantities_alone(cls, further: list[Target]) -> list[Target]:
        wrong = [one.name for one in further if one.kind != "quantity" or one.bands]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: a further target is a quantity without bands; classes are the target's"
            )
        return further

    @model_validator(mode="after")
    def _needs_are_read(self) -> ModelConfig:
        if strange := [name for name in self.needs if name not in self.columns]:
            raise ValueError(f"`needs` names {', '.join(strange)}, not among `columns`; add it there")
        if self.split.also_by_cell is not None and not self.on_sky:
            raise ValueError("`also_by_cell` takes positions, which `on_sky: false` says there are none of")
        return self

    @property
    def targets(self) -> list[Target]:
        """Everything that it predicts, the main target first."""
        return [self.target, *self.further_targets]

    @property
    def is_split_by_cell(self) -> bool:
        """Whether whole sky cells stay together, which takes a position of every example."""
        return self.on_sky and self.split.order is not None

    @property
    def by_cell(self) -> ModelConfig | None:
        """The same with whole sky cells in its folds, where `also_by_cell` asks for it."""
        if self.split.also_by_cell is None:
            return None
        split = self.split.model_copy(update={"order": self.split.also_by_cell, "also_by_cell": None})
        return self.model_copy(update={"split": split})

    @property
    def reads_positions(self) -> bool:
        """Whether examples are dealt by where they lie."""
        return self.is_split_by_cell or self.split.also_by_cell is not None

    @property
    def keys(self) -> list[str]:
        """Columns that say which example a row is, of which star, and where."""
        return list(dict.fromkeys([self.example, "object_id", *(("ra", "dec") if self.reads_positions else ())]))

    @property
    def inputs_read(self) -> list[str]:
        """Columns of the frame that the model or one of its baselines reads."""
        theirs = [name for one in self.baselines.values() for name in one.columns or ()]
        return list(dict.fromkeys([*self.columns, *self.fit_columns, *theirs]))

    @property
    def preparation(self) -> Preparation:
        """What is done to rows before the model sees them, not fitted yet."""
        poly = self.polynomials
        return Preparation(
            inputs=tuple(self.columns),
            watch=tuple(self.watch),
            sentinels=tuple(self.missing.sentinels),
            derived=dict(self.derived),
            rule=self.missing.rule,
            value=self.missing.value,
            indicators=self.missing.indicators,
            powers=products(poly.columns, poly.degree, interaction_only=poly.interaction_only) if poly else (),
            clusters=tuple(self.clusters.columns) if self.clusters else (),
            components=self.clusters.components if self.clusters else 0,
        )

    @property
    def datasets(self) -> dict[str, str]:
        """Name in the frame's SQL -> dataset."""
        # where the targets are columns of the features, nothing is joined
        joined = self.frame is not None or any(target.column is None for target in self.targets)
        labels = {"labels": "features.labels"} if joined and self.source is None else {}
        return {"features": self.features, **labels, **self.inputs}

    @property
    def scores(self) -> str:
        """Dataset that holds this model's scores."""
        return f"scores.{self.name.replace('-', '_')}"

    def canonical(self) -> dict[str, Any]:
        """What of this file decides the trained model: not the wording, nor the policy that judges it."""
        decides = self.model_dump(mode="json", exclude={"description", "attributions", "policy", "slices", "report"})
        decides["frame"] = " ".join(self.frame.split()) if self.frame else None
        # the order of derived columns counts, and a digest sorts keys
        decides["derived"] = list(self.derived.items())
        # a file of before these keys came decides what it always did; a source is told apart by the frame's content
        for where, keys in _LATER.items():
            sections = (
                [decides[where], *(decides["further_targets"] if where == "target" else [])] if where else [decides]
            )
            for section in sections:
                for key, plain in keys.items():
                    if section[key] == plain:
                        del section[key]
        decides.pop("source", None)
        return decides

    def hash(self) -> str:
        """SHA-256 of `canonical`."""
        return digest(self.canonical())

    @property
    def file(self) -> Path | None:
        """The YAML file that this was read from."""
        return self._file[0] if self._file else None

    def fault(self, message: str, *at: str | int) -> InputError:
        """An error about one of its keys, with the key's file and line where it was read from one."""
        key = ".".join(map(str, at))
        if self._file is None:
            return InputError(f"{self.name}: {key}: {message}")
        path, profile = self._file
        return InputError(f"{path}:{line_of(path, at, profile=profile)}: {key}: {message}")


# Keys that came after versions had been trained -> their values where not given
_LATER: dict[str, dict[str, Any]] = {
    "": {
        "source": None, "derived": [], "filters": [], "missing": Missing().model_dump(mode="json"), "polynomials": None,
        "clusters": None, "weights": None, "search": None, "needs": [],
    },
    "target": {"column": None, "transform": "none", "correction": None},
    "split": {"deals": 1, "by": None, "stratify": None, "also_by_cell": None},
    "conformal": {"levels": False},
}  # fmt: skip


def load_config(name_or_path: str | Path, *, profile: str | None = None) -> ModelConfig:
    """A model's configuration by its name or its file, with the profile's overrides (section `profiles`) laid over.

    Raises
    ------
    InputError
        With file, line and remedy for each fault.
    """
    given = Path(name_or_path)
    path = given if given.suffix in {".yaml", ".yml"} else MODELS / f"{name_or_path}.yaml"
    config = load_yaml(path, ModelConfig, profile=profile)
    config._file = (path, profile)
    if config.name != path.stem:
        raise config.fault(
            f"a model's name is its file's name, but this says `{config.name}`; write `name: {path.stem}`", "name"
        )
    return config


def list_configs() -> list[str]:
    """Names of the models that the platform comes with."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))
