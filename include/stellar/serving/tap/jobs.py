"""Asynchronous jobs (UWS 1.1): a folder each below the home, so that they outlive the service.

A job that waited when the service ended waits again when it begins; one that ran then has failed, since it may be what
ended the service.
"""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.errors import InputError, StellarError

from . import formats
from .queries import Query, Stop, run

if TYPE_CHECKING:
    from stellar.settings import Settings

    from .lake import Releases

PENDING, QUEUED, EXECUTING = "PENDING", "QUEUED", "EXECUTING"
COMPLETED, ERROR, ABORTED = "COMPLETED", "ERROR", "ABORTED"
PHASES = (PENDING, QUEUED, EXECUTING, COMPLETED, ERROR, ABORTED)
ACTIVE = (PENDING, QUEUED, EXECUTING)
#: Jobs that are kept at once.
MOST_JOBS = 2000
_ID_BYTES = 8


def now() -> datetime:
    """The time, to the millisecond, which is how UWS writes it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass
class Job:
    """One job, as `job.json` keeps it. Times are ISO 8601 in UTC."""

    job_id: str
    parameters: dict[str, str]
    uploads: dict[str, str]
    created: str
    destruction: str
    seconds: float
    phase: str = PENDING
    run_id: str = ""
    started: str = ""
    ended: str = ""
    error: str = ""
    rows: int | None = None
    overflow: bool = False
    #: Dataset -> key of the snapshot that was read.
    snapshots: dict[str, str] = field(default_factory=dict)


class Jobs:
    """The jobs of one home.

    Parameters
    ----------
    settings : Settings
    releases : Releases
    """

    def __init__(self, settings: Settings, releases: Releases) -> None:
        self._settings, self._releases = settings, releases
        self._folder = settings.home / "tap" / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._stops: dict[str, Stop] = {}
        self._pool = ThreadPoolExecutor(settings.tap_at_once, "tap-job")
        self._jobs = self._known()

    def close(self) -> None:
        """Begin no further job, and stop those that run; they are told as failed when the service begins again."""
        with self._lock:
            for stop in self._stops.values():
                stop.stop("the service ended")
        self._pool.shutdown(cancel_futures=True)

    def create(self, parameters: Mapping[str, str], run_id: str = "") -> Job:
        """A job in phase PENDING.

        Raises
        ------
        InputError
            When as many jobs are kept as can be.
        """
        made = now()
        ends = made + timedelta(days=self._settings.tap_keep_days)
        job = Job(
            secrets.token_hex(_ID_BYTES),
            dict(parameters),
            {},
            written(made),
            written(ends),
            self._settings.tap_seconds_hard,
            run_id=run_id,
        )
        with self._lock:
            if len(self._jobs) >= MOST_JOBS:
                raise InputError(f"{MOST_JOBS} jobs are kept already; delete some of yours")
            self.folder(job).mkdir()
            self._jobs[job.job_id] = job
            self._save(job)
        return job

    def folder(self, job: Job) -> Path:
        """Folder of a job's files."""
        return self._folder / job.job_id

    def result(self, job: Job) -> Path:
        """File of a job's answer."""
        return self.folder(job) / "result"

    def get(self, job_id: str) -> Job | None:
        """A job; None when there is none of that name."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: (job.created, job.job_id), reverse=True)

    def change(self, job: Job, **fields: object) -> None:
        """Set fields of a job and keep them."""
        with self._lock:
            for name, value in fields.items():
                setattr(job, name, value)
            self._save(job)

    def start(self, job: Job) -> None:
        """Queue a job that is pending; any other is left as it is."""
        with self._lock:
            if job.phase != PENDING:
                return
            self.change(job, phase=QUEUED)
            self._stops[job.job_id] = Stop()
            self._pool.submit(self._work, job)

    def abort(self, job: Job) -> None:
        """End a job that has not ended."""
        with self._lock:
            if job.phase in ACTIVE:
                self.change(job, phase=ABORTED, ended=written(now()))
                if (stop := self._stops.get(job.job_id)) is not None:
                    stop.stop("the job was aborted")

    def delete(self, job: Job) -> None:
        """End a job and remove what is kept of it."""
        with self._lock:
            self.abort(job)
            self._jobs.pop(job.job_id, None)
            shutil.rmtree(self.folder(job), ignore_errors=True)

    def clear(self) -> None:
        """Delete the jobs whose time of destruction has come."""
        moment = written(now())
        for job in self.all():
            if job.destruction <= moment:
                self.delete(job)

    def query(self, job: Job) -> Query:
        """What a job asks.

        Raises
        ------
        InputError
            When its parameters are wrong.
        """
        from .requests import query_of

        uploads = {name: self.folder(job) / file for name, file in job.uploads.items()}
        return query_of(self._settings, {name: [value] for name, value in job.parameters.items()}, uploads)

    def _work(self, job: Job) -> None:
        with self._lock:
            stop = self._stops.get(job.job_id)
            if job.phase != QUEUED or stop is None:
                return
            self.change(job, phase=EXECUTING, started=written(now()))
        new = self.folder(job) / "result.new"
        try:
            answer = run(self._releases, self.query(job), new, job.seconds, stop)
            ended = {"rows": answer.rows, "overflow": answer.overflow, "snapshots": dict(answer.snapshots)}
            error = ""
        except Exception as caught:  # whatever it was, it is this job's end and the client's to read
            new.unlink(missing_ok=True)
            shown = isinstance(caught, StellarError)
            error = str(caught) if shown else f"the query failed: {type(caught).__name__}; see the service's log"
            ended = {}
        with self._lock:
            self._stops.pop(job.job_id, None)
            if job.phase == EXECUTING:
                if not error:
                    new.rename(self.result(job))
                phase = ERROR if error else COMPLETED
                self.change(job, phase=phase, error=error, ended=written(now()), **ended)

    def _save(self, job: Job) -> None:
        folder = self.folder(job)
        if folder.is_dir():
            new = folder / "job.json.new"
            new.write_text(json.dumps(asdict(job), indent=1) + "\n", encoding="utf-8")
            new.replace(folder / "job.json")

    def _known(self) -> dict[str, Job]:
        found: dict[str, Job] = {}
        self._jobs = found
        for folder in sorted(self._folder.iterdir()):
            try:
                found[folder.name] = job = Job(**json.loads((folder / "job.json").read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                shutil.rmtree(folder, ignore_errors=True)  # half made when the service ended
                continue
            if job.phase == EXECUTING:
                said = "the service ended while the job ran; start it again as a new one"
                self.change(job, phase=ERROR, error=said, ended=written(now()))
            elif job.phase == QUEUED:
                job.phase = PENDING
                self.start(job)
        return found


def format_of(job: Job) -> formats.Format:
    """Format of a job's answer."""
    return formats.chosen(job.parameters.get("RESPONSEFORMAT") or job.parameters.get("FORMAT"))


def written(moment: datetime) -> str:
    """A time as DALI writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
