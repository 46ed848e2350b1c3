"""A model's YAML file: what it learns from what, and when it may be promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stellar.checked_yaml import load_yaml
from stellar.engine.keys import digest
from stellar.errors import InputError
from stellar.registry.policy import Rule
from stellar.settings import CONFIG

MODELS = CONFIG / "models"
_DATASET = r"^[a-z]+\.[a-z0-9_]+$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Section):
    """What is learned: a class, or a quantity (with its unit as the name's last part) and classes by its range."""

    name: str = Field(pattern=_COLUMN)
    kind: Literal["class", "quantity"]
    label: str | None = Field(None, description="`target` in features.labels; the name where not given")
    class_name: str | None = Field(None, pattern=_COLUMN, description="Column of the class that `bands` give")
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
            raise ValueError("the lower edges in `bands` must ascend; put them in order")
        return self

    @property
    def class_column(self) -> str | None:
        """Column that holds the predicted class, if this target has classes."""
        return self.name if self.kind == "class" else self.class_name


class Split(_Section):
    """Which examples a model is tested on: one part of them (`fractions`), or each in its turn (`folds`).

    Whole stars, and whole sky cells of HEALPix `order` where it is given, stay together. With folds, the version that
    is kept learns from all examples; its figures, calibration and conformal thresholds come from models that did not
    see the example.
    """

    order: int | None = Field(None, ge=0, le=15)
    fractions: dict[Literal["train", "validation", "calibration", "test"], float] | None = None
    folds: int | None = Field(None, ge=2, le=20, description="Stratified by class")
    also_by_cell: int | None = Field(
        None,
        ge=0,
        le=15,
        description="Test again by as many folds of whole HEALPix cells of this order, for figures that end in "
        "`_by_cell`: how well it does where no example lies near",
    )
    column: str | None = Field(
        None,
        pattern=_COLUMN,
        description="Column of the frame: `train` marks examples that are only learned from, `test` those that are "
        "only tested on (another survey's); goes with `folds`, which the others are dealt to",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if (self.fractions is None) == (self.folds is None):
            raise ValueError("give `fractions` or `folds`, one of them")
        if self.column and not self.folds:
            raise ValueError("`column` goes with `folds`; give `folds`")
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


class Baseline(_Section):
    """A model of the target to be better than: fitted and tested on the same examples."""

    architecture: str
    columns: list[str] | None = Field(None, min_length=1, description="The model's own where not given")
    params: dict[str, Any] = Field(default_factory=dict)


class Conformal(_Section):
    method: Literal["lac", "aps"] = Field(
        "lac", description="Smallest sets on average, or sets that grow with how hard a row is"
    )
    alpha: float = Field(gt=0, lt=0.5, description="Sets and intervals miss the truth at most this often")


class Slice(_Section):
    """Test metrics by ranges of one column; `edges` are the inner borders."""

    column: str = Field(pattern=_COLUMN)
    edges: list[float] = Field(min_length=1)
    absolute: bool = Field(False, description="Of the column's absolute value (a latitude)")


class ModelConfig(_Section):
    """One model. Its name is the file's name; its scores go to `scores.<name with _ for ->`."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    description: str = Field(min_length=10)
    family: Literal["photometry", "spectra", "lightcurves"]
    features: str = Field(pattern=_DATASET, description="Dataset that is scored, and trained from")
    example: str = Field(pattern=_COLUMN, description="Column of `features` that identifies an example")
    on_sky: bool = Field(True, description="Whether the features have positions; stars alone are grouped if not")
    inputs: dict[str, str] = Field(
        default_factory=dict, description="Further datasets for `frame`: name in the SQL -> dataset"
    )
    frame: str | None = Field(None, description="SQL of the training frame; features joined to labels where not given")
    target: Target
    further_targets: list[Target] = Field(default_factory=list, description="Quantities predicted beside the target")
    columns: list[str] = Field(min_length=1, description="Columns of `features` that the model sees")
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
    baselines: dict[str, Baseline] = Field(default_factory=dict, description="Name -> a model to be better than")
    split: Split
    calibration: Literal["temperature", "isotonic", "none"] = "temperature"
    conformal: Conformal = Field(default_factory=lambda: Conformal(method="lac", alpha=0.1))
    slices: list[Slice] = Field(default_factory=list)
    policy: list[Rule] = Field(min_length=1)
    min_examples: int = Field(200, ge=20, description="With fewer labelled examples nothing is trained")
    attributions: list[str] = Field(min_length=1)

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
    def datasets(self) -> dict[str, str]:
        """Name in the frame's SQL -> dataset."""
        return {"features": self.features, "labels": "features.labels", **self.inputs}

    @property
    def scores(self) -> str:
        """Dataset that holds this model's scores."""
        return f"scores.{self.name.replace('-', '_')}"

    def canonical(self) -> dict[str, Any]:
        """What of this file decides the trained model: not the wording, nor the policy that judges it."""
        decides = self.model_dump(mode="json", exclude={"description", "attributions", "policy", "slices"})
        # what a config does not use leaves the identity of its versions as it was
        for section, name in ((decides, "needs"), (decides["split"], "also_by_cell")):
            if not section[name] and section[name] != 0:
                del section[name]
        decides["frame"] = " ".join(self.frame.split()) if self.frame else None
        return decides

    def hash(self) -> str:
        """SHA-256 of `canonical`."""
        return digest(self.canonical())


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
    if config.name != path.stem:
        raise InputError(
            f"{path}: name: a model's name is its file's name, but this says `{config.name}`; write `name: {path.stem}`"
        )
    return config


def list_configs() -> list[str]:
    """Names of the models that the platform comes with."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))
