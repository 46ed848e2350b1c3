"""One Settings object: defaults < `.env` < environment (`STELLAR_*`)."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stellar.errors import InputError
from stellar.store import open_lake

CONFIG = Path(__file__).parent / "config"
EMBEDDED = "embedded"


def project_root() -> Path:
    """Folder that holds `airflow.cfg`, `dags/` and `sql/`: `STELLAR_ROOT`, or the checkout that this file lies in."""
    root = os.environ.get("STELLAR_ROOT")
    return Path(root).resolve() if root else Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Where things are and how to reach them. Every field is overridden by `STELLAR_<FIELD>`.

    The four `*_service` settings take `embedded` (the archive of this home) or the public endpoint named in
    their description.
    """

    model_config = SettingsConfigDict(
        env_prefix="STELLAR_",
        env_file=project_root() / ".env",
        env_file_encoding="utf-8",
        extra="ignore",
        populate_by_name=True,
    )

    root: Path = Field(default_factory=project_root, description="Project's root")
    home: Path = Field(
        default_factory=lambda: project_root() / ".stellar", description="Lake, database, artifacts, logs"
    )
    lake_url: str | None = Field(
        None,
        validation_alias="STELLAR_LAKE",
        description="s3://bucket/prefix of a lake in an object store; in the home's folder `lake` when not set",
    )
    profile: str = Field(
        "simulated",
        description="File name in include/stellar/config/profiles, without .yaml; not set: the one that the home holds",
    )
    data: Path = Field(
        default_factory=lambda: project_root().parent / "shared" / "real", description="Folder of real survey files"
    )
    postgres_url: SecretStr | None = Field(
        None, description="postgresql://owner:password@host/stellar of an external server; embedded when not set"
    )
    gaia_service: str = Field(EMBEDDED, description="`embedded`, or https://gea.esac.esa.int")
    sdss_service: str = Field(EMBEDDED, description="`embedded`, or https://skyserver.sdss.org")
    sdss_sas_service: str = Field(EMBEDDED, description="`embedded`, or https://data.sdss.org")
    mast_service: str = Field(EMBEDDED, description="`embedded`, or https://mast.stsci.edu")
    simbad_service: str = Field(EMBEDDED, description="`embedded`, or https://simbad.cds.unistra.fr/simbad/sim-tap")
    regions: Annotated[list[dict[str, float]], NoDecode] = Field(
        default_factory=list,
        description="Where to sync when neither profile nor run says it: cones `ra,dec,radius` in degrees, separated by"
        " `;`; public services refuse the whole sky",
    )
    http_timeout_s: float = Field(30.0, gt=0, description="Longest wait for one answer of a survey's service, seconds")
    http_retries: int = Field(6, ge=0, description="Retries per request before a unit fails")
    http_concurrency: int = Field(4, ge=1, description="Requests under way at once, per survey")
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="Processes for local work")
    engine: Literal["processes", "dask"] = Field(
        "processes", description="Where the command builds partitions: processes here, or the workers of a Dask cluster"
    )
    dask_scheduler: str | None = Field(
        None, description="tcp://host:port of the cluster's scheduler; its workers see this home under the same path"
    )
    executor: Literal["local", "celery"] = Field(
        "local", description="Where Airflow runs tasks: processes of its scheduler, or Celery workers"
    )
    redis_url: SecretStr | None = Field(
        None, description="redis://:password@host:port/0, the broker of the Celery workers"
    )
    celery_workers: int = Field(2, ge=1, description="Celery workers that the supervisor keeps up on this machine")
    notify: SecretStr | None = Field(
        None,
        description="Where the operator is told of failed and late runs: smtp://user@host:port/?to=address, smtps://…, "
        "https://hook, or file:PATH of a file (mode 0600) that holds one of these; off when not set",
    )
    tap_rows: int = Field(100_000, ge=1, description="Rows of an answer of the TAP service when a query names none")
    tap_rows_hard: int = Field(5_000_000, ge=1, description="Most rows that a query may ask of the TAP service")
    tap_seconds: float = Field(120.0, gt=0, description="Longest that a synchronous TAP query may take, seconds")
    tap_seconds_hard: float = Field(7200.0, gt=0, description="Longest that an asynchronous one may take, seconds")
    tap_at_once: int = Field(2, ge=1, description="TAP queries of each kind that run at once; further ones wait")
    tap_memory: str = Field("2GB", pattern=r"^\d+ ?[KMGT]i?B$", description="Memory of all TAP queries together")
    tap_upload_mb: int = Field(32, ge=1, description="Largest upload of the TAP service, megabytes")
    tap_keep_days: float = Field(7.0, gt=0, description="How long asynchronous TAP jobs are kept, days")
    openlineage_url: str | None = Field(
        None,
        description="http(s)://host:port of a receiver of OpenLineage events (Marquez, DataHub, …), or the address of"
        " its endpoint; off when not set",
    )
    openlineage_key_file: Path | None = Field(
        None, description="File of mode 0600 that holds the receiver's API key, sent as a bearer token"
    )
    openlineage_timeout_s: float = Field(
        2.0, gt=0, le=60, description="Longest that one command or task spends on sending, seconds"
    )
    seed: int = Field(20260101, description="Seed of everything random; recorded with every model")

    @field_validator("root", "home", "data")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @model_validator(mode="after")
    def _profile_of_home(self) -> Settings:
        """A home holds one profile: a command that names none means that one."""
        held = self.home / "profile"
        if "profile" not in self.model_fields_set and held.is_file():
            self.profile = held.read_text(encoding="ascii").strip()
        return self

    @field_validator("regions", mode="before")
    @classmethod
    def _cones(cls, value: object) -> object:
        """Cones from `ra,dec,radius;...` as {ra, dec, radius_deg}, which is how a sync's scope takes them."""
        if not isinstance(value, str):
            return value
        cones = []
        for text in (part.strip() for part in value.split(";")):
            if not text:
                continue
            try:
                ra, dec, radius_deg = (float(number) for number in text.split(","))
            except ValueError:
                raise ValueError(f"{text!r} is not `ra,dec,radius` in degrees") from None
            if not (0 <= ra < 360 and -90 <= dec <= 90 and 0 < radius_deg <= 180):
                raise ValueError(f"{text!r}: give 0 <= ra < 360, -90 <= dec <= 90 and 0 < radius <= 180 degrees")
            cones.append({"ra": ra, "dec": dec, "radius_deg": radius_deg})
        return cones

    def without_secrets(self) -> Settings:
        """These settings for a machine that builds files and asks no database."""
        return self.model_copy(update={"postgres_url": None, "redis_url": None, "notify": None})

    @cached_property
    def lake(self) -> Path:
        """Where committed rows lie. Of an object store it is a path with the same methods (`stellar.store`)."""
        return self.home / "lake" if self.lake_url is None else open_lake(self.lake_url, self.cache / "lake")

    @cached_property
    def workspace(self) -> Path:
        """Where snapshots are put together: on this machine, beside the lake where that is here too."""
        return self.lake if self.lake_url is None else self.home / "work"

    @cached_property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @cached_property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @cached_property
    def archive(self) -> Path:
        return self.home / "archive"

    @cached_property
    def cache(self) -> Path:
        return self.home / "cache"

    @cached_property
    def logs(self) -> Path:
        return self.home / "logs"

    @cached_property
    def run(self) -> Path:
        """Ports, addresses and pids of what runs now."""
        return self.home / "run"

    @cached_property
    def secrets(self) -> Path:
        return self.home / "secrets"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with explicit overrides on top.

    Raises
    ------
    InputError
        With one line per variable that cannot be what it says.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as faults:
        lines = [f"STELLAR_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in faults.errors()]
        raise InputError("\n".join(lines)) from None
