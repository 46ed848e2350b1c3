"""Sections of a model's YAML file: where its rows come from, and what is done to them before they are learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stellar.checked_yaml import KeyFaultError, Section

COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Source(Section):
    """A file of the user's own that is imported, as `stellar import` does it, and is then the model's dataset.

    A relative path is from the project's root; one that begins with `./` is from the folder of the YAML file. Paths
    into `../shared/real` follow `STELLAR_DATA` where it is set.
    """

    file: str = Field(min_length=1, description="Anything that `stellar import` reads, a folder too")
    id: str = Field(min_length=1, description="Column that identifies a row: whole numbers or text")
    ra: str = Field("ra", min_length=1, description="Column of the right ascension, degrees")
    dec: str = Field("dec", min_length=1, description="Column of the declination, degrees")

    def path(self, root: Path, data: Path, yaml: Path | None) -> Path:
        """Where the file lies.

        Parameters
        ----------
        root, data : Path
            The project's root, and the folder of real files (`STELLAR_DATA`).
        yaml : Path or None
            The file that this section stands in.
        """
        given = Path(self.file).expanduser()
        if self.file.startswith("./") and yaml is not None:
            return (yaml.resolve().parent / given).resolve()
        found = (root / given).resolve()
        usual = (root.parent / "shared" / "real").resolve()
        return data / found.relative_to(usual) if found.is_relative_to(usual) else found


class Missing(Section):
    """Missing values: what stands for them, and what becomes of them in numeric columns that the model sees."""

    sentinels: list[float] = Field(
        default_factory=list, description="Numbers that mean `not known`; null before anything else, in targets too"
    )
    rule: Literal["keep", "drop", "median", "value"] = Field(
        "keep",
        description="`drop` leaves such examples out of training; `median` is of the training examples. A row to "
        "predict is never dropped: with `drop` it is flagged",
    )
    value: float | None = None
    indicators: bool = Field(False, description="Adds a column <name>_missing for each column")

    @model_validator(mode="after")
    def _value_where_needed(self) -> Missing:
        if (self.rule == "value") != (self.value is not None):
            said = "needs a `value`; add one" if self.rule == "value" else "takes no `value`; remove it"
            raise KeyFaultError(f"the rule `{self.rule}` {said}", "value" if self.value is not None else "rule")
        return self


class Filter(Section):
    """Examples to learn from and to test on: those for which `where` is true; the others are counted under `rule`."""

    rule: str = Field(min_length=1)
    where: str = Field(min_length=1, description="SQL condition over the frame's columns and derived ones")


class Polynomials(Section):
    """Products of columns, up to `degree` factors, as columns a_pow2, a_x_b."""

    columns: list[str] = Field(min_length=1)
    degree: int = Field(2, ge=2, le=4)
    interaction_only: bool = Field(False, description="No powers of one column")


class Clusters(Section):
    """A Gaussian mixture fitted on the training examples: probabilities as columns cluster_1 ... cluster_k."""

    columns: list[str] = Field(min_length=1)
    components: int = Field(ge=2, le=50)


class Balance(Section):
    """Weights that level a quantity's ranges or the classes: (1 / examples in the bin) ** power, mean 1."""

    balance: Literal["target"]
    bins: int = Field(20, ge=2, le=1000, description="Of equal width over the target's range, of a quantity")
    power: float = Field(0.5, ge=0, le=1)


class Correction(Section):
    """Catalogue temperatures above a threshold, brought to the scale of reference ones (`models/correction.py`)."""

    reference: str = Field(pattern=COLUMN, description="Column of the frame with reference temperatures, K")
    threshold: float = Field(10_000, gt=0, description="K")
    degree: int = Field(2, ge=1, le=5)
    blend: float = Field(500, ge=0, description="Width over which the correction sets in, K")


class Stratify(Section):
    """Parts or folds with even shares of the ranges of a quantity, and of the hot stars."""

    bins: int = Field(10, ge=2, le=100, description="Runs of equal counts")
    hot_above: float | None = Field(None, description="Examples above this are a stratum of their own")


class Parameter(Section):
    """Values of one hyper-parameter that a search tries: a range, or choices."""

    low: float | None = None
    high: float | None = None
    log: bool = Field(False, description="Even in the logarithm")
    int: bool = Field(False, description="Whole numbers alone")
    choices: list[Any] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _range_or_choices(self) -> Parameter:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.int:
                raise KeyFaultError("give `choices`, or `low` and `high`, not both", "choices")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `low` and `high`, or `choices`")
        if self.low >= self.high:
            raise KeyFaultError(f"`low` is {self.low:g} and `high` {self.high:g}; low must be below high", "low")
        if self.log and self.low <= 0:
            raise KeyFaultError("a logarithmic range begins above 0; raise `low`, or take `log` out", "low")
        if self.int and not (self.low.is_integer() and self.high.is_integer()):
            raise KeyFaultError("a range of whole numbers begins and ends with one", "low")
        return self


class Search(Section):
    """Hyper-parameters chosen by trials, each judged on examples to learn from, never on the test part."""

    trials: int = Field(ge=1, le=10_000)
    metric: Literal["mae", "rmse", "crps", "accuracy", "macro_f1", "log_loss"]
    space: dict[str, Parameter] = Field(min_length=1)
    seed: int = 0
    folds: int = Field(3, ge=2, le=10, description="Within the examples to learn from, where the split is by folds")

    @field_validator("space")
    @classmethod
    def _names(cls, space: dict[str, Parameter]) -> dict[str, Parameter]:
        if wrong := [name for name in space if not name.isidentifier()]:
            raise KeyFaultError(f"{wrong[0]!r} is no name of a hyper-parameter", wrong[0])
        return space


class Report(Section):
    """Columns of the frame that the report draws stars by; where not given, columns of usual names are looked for."""

    magnitude: str | None = Field(None, pattern=COLUMN)
    colour: str | None = Field(None, pattern=COLUMN)
    absolute_magnitude: str | None = Field(None, pattern=COLUMN)
    extinction: str | None = Field(None, pattern=COLUMN)
    temperature: str | None = Field(None, pattern=COLUMN, description="Where the target is none")

    @property
    def named(self) -> dict[str, str]:
        """The columns that are named, by what they are."""
        return {key: name for key, name in self.model_dump().items() if name}
