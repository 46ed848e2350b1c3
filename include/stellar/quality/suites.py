"""What must hold of each dataset: `config/gates/<dataset>.yaml`, else `<layer>.yaml`, else `default.yaml`.

A suite says what every column must be, and adds metrics (one SQL value each) and checks (SQL that returns the failing
rows). In that SQL the dataset is the view `gated`, and the datasets under `references` are views of their own names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stellar.checked_yaml import load_yaml

from .suite_files import suite_file


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """What must hold of one column; what is not said is not checked."""

    type: str | None = Field(
        default=None, description="Arrow type as text, for example int64, double, list<element: float>"
    )
    optional: bool = Field(default=False, description="Whether the column may be missing")
    unique: bool = False
    nulls: float | None = Field(default=None, ge=0, le=1, description="Largest share of nulls")
    between: tuple[float | None, float | None] | None = Field(
        default=None, description="Smallest and largest value, inclusive"
    )
    among: list[str | int | bool] | None = Field(default=None, description="Allowed values")
    matches: str | None = Field(default=None, description="Regular expression that values match from their start")
    mostly: float = Field(default=1.0, gt=0, le=1, description="Share of values that must be in range, set or pattern")

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.between is not None and self.between[0] is None and self.between[1] is None:
            raise ValueError("between needs a smallest or a largest value")
        return self


class Rows(_Strict):
    """How many rows there may be."""

    min: int = Field(default=0, ge=0)
    min_ratio: float | None = Field(
        default=0.5, ge=0, description="Smallest ratio to the rows of the last current snapshot"
    )
    max_ratio: float | None = Field(
        default=None, gt=1, description="Largest ratio to the rows of the last current snapshot"
    )


class Metric(_Strict):
    """One number that SQL computes; null passes (there was nothing to measure)."""

    sql: str
    min: float | None = None
    max: float | None = None
    description: str = ""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a metric needs min, max or both")
        return self


class Check(_Strict):
    """SQL that returns failing rows, ids first."""

    failing: str
    max: int = Field(default=0, ge=0, description="How many failing rows are tolerated")
    description: str = ""


class Suite(_Strict):
    """Everything that a gate checks of one dataset."""

    name: str = ""
    description: str = ""
    id: Annotated[list[str] | None, BeforeValidator(_as_list)] = Field(
        default=None,
        description="Column or columns that identify a row: never null, unique together; the first when not given",
    )
    unique_id: bool = True
    rows: Rows = Rows()
    references: dict[str, list[str]] = Field(
        default={}, description="Datasets that the SQL reads, with the columns it needs"
    )
    columns: dict[str, Column] = {}
    metrics: dict[str, Metric] = {}
    checks: dict[str, Check] = {}


@lru_cache(maxsize=256)
def load_suite(dataset: str) -> Suite:
    """The suite of a dataset: its own, its layer's, or the default one.

    Raises
    ------
    InputError
        When the name is not `layer.subject`, or the file is wrong (names file and line).
    """
    path = suite_file(dataset)
    return load_yaml(path, Suite).model_copy(update={"name": path.stem})
