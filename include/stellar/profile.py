"""What a home holds, as YAML: `config/profiles/<name>.yaml`, and `config/catalog/<name>.yaml` per curated dataset.

It lies on the lowest floor, since the catalogue, the features and the flow all read it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from stellar.checked_yaml import Section, load_yaml
from stellar.errors import InputError
from stellar.settings import CONFIG

CATALOG = CONFIG / "catalog"
PROFILES = CONFIG / "profiles"
TYPES: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "list<float32>": pa.list_(pa.float32()),
    "list<float64>": pa.list_(pa.float64()),
    "list<int32>": pa.list_(pa.int32()),
}
SAME_KEY_ARCSEC = 10.0
_NAME = r"^[a-z][a-z0-9_]*$"


class Column(Section):
    """One curated column: where it comes from, its type and meaning, and which of its values are no values."""

    name: str = Field(pattern=_NAME)
    type: Literal[
        "int64", "int32", "float64", "float32", "string", "bool", "list<float32>", "list<float64>", "list<int32>"
    ]
    source: str | None = Field(None, description="Column of the raw dataset; the same name where not given")
    expr: str | None = Field(None, description="SQL over the columns before it, instead of `source`")
    missing: list[float | int | str] = Field([], description="Sentinels that become null; NaN and infinity always do")
    minimum: float | None = None
    maximum: float | None = None
    outside: Literal["quarantine", "null"] = Field("quarantine", description="What a value outside the range does")
    required: bool = Field(False, description="A row where this is null goes to quarantine")
    keep: bool = Field(True, description="False: only for expressions and rules, not written")
    unit: str | None = None
    ucd: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        if self.source and self.expr:
            raise ValueError("give `source` or `expr`, not both")
        if self.expr and self.type.startswith("list"):
            raise ValueError("a list column comes from `source`; expressions are for scalars")
        return self

    @property
    def arrow_type(self) -> pa.DataType:
        return TYPES[self.type]


class Rule(Section):
    """Rows for which the SQL `where` is true are left out (`filters`) or sent to quarantine (`reject`) under `rule`."""

    rule: str = Field(description="Name in the accounting, or the reason in quarantine")
    where: str
    description: str = ""


class Dedup(Section):
    """Which of several rows of the same id stays: the first by `prefer`; the others are merged into it."""

    prefer: list[str] = Field([], description="SQL order terms; ties fall to the batch's id and the row's place")
    within_arcsec: float = Field(2.0, gt=0, description="Rows of one id further apart than this contradict each other")
    doubles: str | None = Field(None, description="SQL: rows that the survey marks as listed twice under two ids")
    doubles_arcsec: float = Field(0.4, gt=0, description="Marked rows this close to each other are one source")
    count: str | None = Field(None, pattern=_NAME, description="Column that says how many rows were merged into one")


class Motion(Section):
    pmra: str = "pmra"
    pmdec: str = "pmdec"


class Curated(Section):
    """How `raw.<source>` becomes `curated.<dataset>`."""

    dataset: str = Field(pattern=_NAME)
    source: str = Field(pattern=_NAME)
    version: int = 1
    description: str = ""
    layout: Literal["rows", "plain"] = Field("rows", description="`plain` for rows without a position")
    id: str = Field(pattern=_NAME, description="Column that identifies a row")
    object_key: str | None = Field(
        None,
        description="SQL string: the object's id when no better survey knows it; rows that share it are one object",
    )
    repeats_arcsec: float | None = Field(
        None,
        gt=0,
        le=SAME_KEY_ARCSEC,
        description="Rows of this dataset so close to each other are one source seen again (spectra of one star)",
    )
    motion: Motion | None = Field(None, description="Columns of proper motion (mas/yr), where the survey has them")
    columns: list[Column]
    filters: list[Rule] = Field([])
    reject: list[Rule] = Field([])
    dedup: Dedup = Dedup()

    @model_validator(mode="after")
    def _joints(self) -> Curated:
        names = [c.name for c in self.columns]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"column {', '.join(twice)} is given twice; keep one")
        needed = [self.id, *(["ra", "dec", "epoch_yr"] if self.layout == "rows" else [])]
        needed += [self.motion.pmra, self.motion.pmdec] if self.motion else []
        lacking = [n for n in needed if n not in names]
        if lacking:
            raise ValueError(f"`columns` lacks {', '.join(lacking)}; add it")
        if self.layout == "plain" and (self.column(self.id).expr or self.column(self.id).source not in (None, self.id)):
            # Rows are dealt to buckets by this column, before they are curated.
            raise ValueError(f"the id {self.id} of a plain dataset must be a column of its raw dataset by that name")
        if self.layout == "rows" and not self.object_key:
            raise ValueError("a dataset on the sky needs `object_key`")
        return self

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    def has(self, name: str) -> bool:
        """Whether the curated table has this column."""
        return any(c.name == name and c.keep for c in self.columns)


class Matches(Section):
    """Cross-match radii in arcsec, by pair `left:right` in the profile's order, and the largest motion followed."""

    radius_arcsec: float = Field(1.0, gt=0)
    pairs: dict[str, float] = Field({})
    max_motion_arcsec: float = Field(
        180.0,
        gt=0,
        description="A source that moved further than this between two epochs is not matched at those epochs; "
        "it bounds the strip that a cell must read of its neighbours (Barnard's star moves 166 arcsec in 16 years)",
    )

    def radius(self, left: str, right: str) -> float:
        return self.pairs.get(f"{left}:{right}", self.radius_arcsec)

    @property
    def reach_arcsec(self) -> float:
        """No two matched rows lie further apart than this, each at its own epoch."""
        return max([self.radius_arcsec, *self.pairs.values()]) + self.max_motion_arcsec


class FeatureSet(Section):
    """One feature dataset: what kind of features, from which curated dataset (`sed` reads the objects instead)."""

    kind: Literal["sed", "spectra", "lightcurves"]
    source: str | None = Field(None, pattern=_NAME)
    stitch: bool = Field(False, description="Light curves: rows of one object and mission become one curve")

    @model_validator(mode="after")
    def _source_where_needed(self) -> FeatureSet:
        if (self.kind == "sed") != (self.source is None):
            raise ValueError("`sed` takes no `source`; `spectra` and `lightcurves` need one: a curated dataset")
        if self.stitch and self.kind != "lightcurves":
            raise ValueError(f"`stitch` is for light curves, not for {self.kind}")
        return self


class Profile(Section):
    """What a home holds: which surveys are synced, which datasets are curated, matched and scored, and how."""

    name: str = ""
    description: str
    archive: dict[str, Any] = Field({}, description="Options of the embedded archive, e.g. `scale`; empty: none needed")
    surveys: list[str] = Field(description="Surveys to sync")
    scope: dict[str, Any] = Field({}, description="Regions, release, limits of a sync, as stellar.surveys.base.Scope")
    files: list[str] = Field([], description="File sources (config/files) that the survey `files` reads")
    curated: list[str] = Field(description="Curated datasets, best first: the order of preference for objects")
    matches: Matches = Matches()
    features: dict[str, FeatureSet] = Field(description="Feature datasets to extract: subject -> how")
    models: list[str] = Field([], description="Models to train and score")

    def configs(self) -> list[Curated]:
        """Configs of the profile's curated datasets, best first."""
        return [load_curated(name) for name in self.curated]

    @property
    def chain_arcsec(self) -> float:
        """No source lies further from its object than this: per survey one match, and one step between rows of a key.

        Rows that share an object key lie within `SAME_KEY_ARCSEC` of each other; further apart they are no longer sure
        to be seen together.
        """
        return len(self.on_sky()) * (self.matches.reach_arcsec + SAME_KEY_ARCSEC)

    @property
    def margin_arcsec(self) -> float:
        """Width of the margins that are kept with the profile's datasets: the widest that any of its steps reads."""
        return self.chain_arcsec + 2 * self.matches.reach_arcsec + 1.0

    def on_sky(self) -> list[Curated]:
        """Those with positions, best first: what is matched and unified."""
        return [c for c in self.configs() if c.layout == "rows"]


@cache
def load_curated(name: str) -> Curated:
    """Config of `curated.<name>`; raises `InputError` with file and line."""
    config = load_yaml(CATALOG / f"{name}.yaml", Curated)
    if config.dataset != name:
        raise InputError(f"{CATALOG / name}.yaml: dataset is {config.dataset!r}; it must be the file's name")
    return config


@cache
def load_profile(name: str) -> Profile:
    """The profile `name`; raises `InputError` with file and line."""
    profile = load_yaml(PROFILES / f"{name}.yaml", Profile)
    return profile.model_copy(update={"name": name})


def list_profiles() -> list[str]:
    """Names of the profiles that the platform comes with."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))
