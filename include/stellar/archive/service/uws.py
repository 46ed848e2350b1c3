"""Asynchronous jobs after the Universal Worker Service pattern. https://www.ivoa.net/documents/UWS/20161024/"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

MAX_JOBS = 1000  # kept; the oldest go first


@dataclass
class Job:
    """One job: its parameters, phase, and in the end its result or error."""

    job_id: str
    params: dict[str, str]
    phase: str = "PENDING"
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    result: tuple[bytes, str] | None = None  # body, content type
    error: str = ""

    def document(self, base: str) -> str:
        """The job as UWS XML."""
        params = "".join(
            f"<uws:parameter id={quoteattr(key)}>{escape(value)}</uws:parameter>" for key, value in self.params.items()
        )
        result = f'<uws:result id="result" xlink:href={quoteattr(f"{base}/{self.job_id}/results/result")}/>'
        error = f"<uws:errorSummary><uws:message>{escape(self.error)}</uws:message></uws:errorSummary>"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<uws:job version="1.1" '
            'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<uws:jobId>{self.job_id}</uws:jobId><uws:ownerId>anonymous</uws:ownerId>"
            f"<uws:phase>{self.phase}</uws:phase><uws:quote/>"
            f"<uws:creationTime>{_iso(self.created)}</uws:creationTime>"
            f"<uws:startTime>{_iso(self.started)}</uws:startTime><uws:endTime>{_iso(self.ended)}</uws:endTime>"
            "<uws:executionDuration>0</uws:executionDuration><uws:destruction/>"
            f"<uws:parameters>{params}</uws:parameters>"
            f"<uws:results>{result if self.phase == 'COMPLETED' else ''}</uws:results>"
            f"{error if self.phase == 'ERROR' else ''}</uws:job>"
        )


class Jobs:
    """Jobs of one service, in memory: they end with the process, as a client must expect anyway."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, params: dict[str, str]) -> Job:
        """A new job in phase PENDING."""
        with self._lock:
            job = Job(f"{int(time.time() * 1000)}{next(self._numbers):04d}O", params)
            self._jobs[job.job_id] = job
            for old in list(self._jobs)[:-MAX_JOBS]:
                del self._jobs[old]
        return job

    def get(self, job_id: str) -> Job:
        """The job; KeyError if it does not exist or was deleted."""
        return self._jobs[job_id]

    def delete(self, job_id: str) -> None:
        """Forget a job; one that still runs ends without effect."""
        with self._lock:
            self._jobs.pop(job_id).phase = "ABORTED"

    def run(self, job: Job, work: Callable[[], tuple[bytes, str]]) -> None:
        """Start the job in a thread of its own."""
        with self._lock:
            if job.phase != "PENDING":
                return
            job.phase, job.started = "EXECUTING", time.time()
        threading.Thread(target=self._work, args=(job, work), daemon=True).start()

    def abort(self, job: Job) -> None:
        """End a job that has not ended."""
        with self._lock:
            if job.phase in ("PENDING", "QUEUED", "EXECUTING"):
                job.phase, job.ended = "ABORTED", time.time()

    def _work(self, job: Job, work: Callable[[], tuple[bytes, str]]) -> None:
        try:
            result, error = work(), ""
        except Exception as caught:  # whatever it was, it is this job's end and the client's to read
            result, error = None, str(caught) or type(caught).__name__
        with self._lock:
            if job.phase == "EXECUTING":
                job.result, job.error, job.ended = result, error, time.time()
                job.phase = "ERROR" if error else "COMPLETED"


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
