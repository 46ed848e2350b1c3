"""Jobs as UWS 1.1 documents. https://www.ivoa.net/documents/UWS/20161024/"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from .jobs import COMPLETED, ERROR, Job, format_of

_DECLARED = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMES = (
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def job_document(job: Job, url: str) -> str:
    """A job, whose address is `url`."""
    error = ""
    if job.phase == ERROR:
        error = (
            '<uws:errorSummary type="fatal" hasDetail="true">\n'
            f"<uws:message>{escape(job.error)}</uws:message>\n</uws:errorSummary>\n"
        )
    read = "".join(
        f"<snapshot xmlns='' dataset={quoteattr(name)} key={quoteattr(key)}/>\n" for name, key in job.snapshots.items()
    )
    info = f"<uws:jobInfo>\n{read}</uws:jobInfo>\n" if read else ""
    return (
        f'{_DECLARED}<uws:job version="1.1" {_NAMES}>\n<uws:jobId>{job.job_id}</uws:jobId>\n'
        + (f"<uws:runId>{escape(job.run_id)}</uws:runId>\n" if job.run_id else "")
        + '<uws:ownerId xsi:nil="true"/>\n'
        f'<uws:phase>{job.phase}</uws:phase>\n<uws:quote xsi:nil="true"/>\n'
        f"<uws:creationTime>{job.created}</uws:creationTime>\n"
        f"{_time('startTime', job.started)}{_time('endTime', job.ended)}"
        f"<uws:executionDuration>{int(job.seconds)}</uws:executionDuration>\n"
        f"<uws:destruction>{job.destruction}</uws:destruction>\n"
        f"{_parameters(job)}{_results(job, url)}{error}{info}</uws:job>\n"
    )


def list_document(jobs: Sequence[Job], url: str) -> str:
    """Jobs in short, whose list is at `url`."""
    refs = "".join(
        f"<uws:jobref id={quoteattr(job.job_id)} xlink:href={quoteattr(f'{url}/{job.job_id}')}>\n"
        f"<uws:phase>{job.phase}</uws:phase>\n"
        + (f"<uws:runId>{escape(job.run_id)}</uws:runId>\n" if job.run_id else "")
        + f'<uws:ownerId xsi:nil="true"/>\n<uws:creationTime>{job.created}</uws:creationTime>\n</uws:jobref>\n'
        for job in jobs
    )
    return f'{_DECLARED}<uws:jobs version="1.1" {_NAMES}>\n{refs}</uws:jobs>\n'


def parameters_document(job: Job) -> str:
    """A job's parameters."""
    return _DECLARED + _parameters(job, f" {_NAMES}")


def results_document(job: Job, url: str) -> str:
    """A job's results."""
    return _DECLARED + _results(job, url, f" {_NAMES}")


def _parameters(job: Job, names: str = "") -> str:
    told = "".join(
        f"<uws:parameter id={quoteattr(name)}>{escape(value)}</uws:parameter>\n"
        for name, value in job.parameters.items()
    )
    return f"<uws:parameters{names}>\n{told}</uws:parameters>\n"


def _results(job: Job, url: str, names: str = "") -> str:
    if job.phase != COMPLETED:
        return f"<uws:results{names}/>\n"
    where = quoteattr(f"{url}/results/result")
    mime = quoteattr(format_of(job).mime)
    result = f'<uws:result id="result" xlink:type="simple" xlink:href={where} mime-type={mime}/>\n'
    return f"<uws:results{names}>\n{result}</uws:results>\n"


def _time(name: str, value: str) -> str:
    return f"<uws:{name}>{value}</uws:{name}>\n" if value else f'<uws:{name} xsi:nil="true"/>\n'
