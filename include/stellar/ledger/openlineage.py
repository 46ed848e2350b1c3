"""Events of OpenLineage: made of plain values, kept in the ledger; sending them is `stellar.ledger.outbox`.

The shapes are those of the specification 2-0-2 and its facets (https://openlineage.io/spec); importing the client that
has them as classes would cost every task a second.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from stellar import __version__

Event = dict[str, Any]
Facets = dict[str, dict[str, Any]]

LOG = logging.getLogger("stellar.openlineage")
PRODUCER = f"https://pypi.org/project/stellar-platform/{__version__}"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/"
#: Facets of the specification that are used, and their versions.
_VERSIONS = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "DataQualityAssertionsDatasetFacet": "1-1-0",
    "DataQualityMetricsInputDatasetFacet": "1-0-3",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DocumentationJobFacet": "1-1-0",
    "ErrorMessageRunFacet": "1-0-1",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobTypeJobFacet": "2-0-4",
    "LifecycleStateChangeDatasetFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ParentRunFacet": "1-2-0",
    "ProcessingEngineRunFacet": "1-1-1",
    "SchemaDatasetFacet": "1-2-0",
}
_LAST = sa.text("""
    SELECT CAST(ol_run AS text) AS run, event_type FROM lineage.event WHERE snapshot = :key AND job = :job
     ORDER BY id DESC LIMIT 1""")
_KEEP = sa.text("""
    INSERT INTO lineage.event (event_time, event_type, ol_run, job, run_id, snapshot, body)
    VALUES (:time, :type, CAST(:run AS uuid), :job, :run_id, :key, :body)""").bindparams(
    sa.bindparam("body", type_=JSONB)
)


def namespace() -> str:
    """Namespace of our jobs and datasets: `OPENLINEAGE_NAMESPACE`, the client's own variable, or ``stellar``."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "stellar"


def new_run() -> str:
    """A run's id: UUID of version 7 (RFC 9562, section 5.7), so that ids sort by time."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    random = uuid.uuid4().int
    return str(uuid.UUID(int=now << 80 | 7 << 76 | (random >> 64 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1))


def facet(name: str, /, **content: Any) -> dict[str, Any]:
    """A facet of the specification; what is None is left out."""
    url = f"{_SPEC}/facets/{_VERSIONS[name]}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url, **{key: one for key, one in content.items() if one is not None}}


def own_facet(kind: str, /, **content: Any) -> dict[str, Any]:
    """A facet of our own: the base of its kind (``RunFacet``, …) may hold anything."""
    return {"_producer": PRODUCER, "_schemaURL": f"{_EVENT}{kind}", **content}


def dataset(name: str, version: str | None = None, facets: Facets | None = None, **more: Facets) -> dict[str, Any]:
    """A dataset of the lake, its version a snapshot's key; `more` are ``inputFacets`` or ``outputFacets``."""
    given = {"version": facet("DatasetVersionDatasetFacet", datasetVersion=version)} if version else {}
    return {"namespace": namespace(), "name": name, "facets": {**given, **(facets or {})}, **more}


def model_name(model: str) -> str:
    """The dataset that a model is, as Airflow's assets call it."""
    return f"models.{model.replace('-', '_')}"


def schema_facet(fields: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """Columns as (name, type, description)."""
    told = [
        {"name": name, "type": kind, **({"description": about} if about else {}), "ordinal_position": number}
        for number, (name, kind, about) in enumerate(fields, 1)
    ]
    return facet("SchemaDatasetFacet", fields=told)


def columns_facet(sources: Mapping[str, Sequence[tuple[str, str, str]]]) -> dict[str, Any]:
    """Column -> (input dataset, its column, what is done with it)."""
    fields = {
        name: {
            "inputFields": [
                {
                    "namespace": namespace(),
                    "name": source,
                    "field": column,
                    "transformations": [
                        {
                            "type": "DIRECT",
                            "subtype": "TRANSFORMATION" if how else "IDENTITY",
                            "description": how,
                            "masking": False,
                        }
                    ],
                }
                for source, column, how in given
            ]
        }
        for name, given in sources.items()
    }
    return facet("ColumnLineageDatasetFacet", fields=fields)


def assertions_facet(expectations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a gate expected, as `quality.expectation` has it."""
    told = [
        {
            "assertion": str(one["expectation"]),
            "success": bool(one["passed"]),
            "severity": "error",
            **({"column": str(one["column_name"])} if one.get("column_name") else {}),
        }
        for one in expectations
    ]
    return facet("DataQualityAssertionsDatasetFacet", assertions=told)


def parent_facet(run_id: str | None, parent: tuple[str, str] | None) -> Facets:
    """Facet of the Airflow run that ours is part of; empty of a command.

    Parameters
    ----------
    run_id : str or None
        ``dag/run`` as the ledger has it.
    parent : tuple of str, optional
        Run and job as Airflow's own events name them, where its provider sends any; else the run's id is made of
        `run_id`, the same for all that the run does.
    """
    if run_id is None:
        return {}
    of_run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace()}/{run_id}"))
    run, job = parent or (of_run, run_id.partition("/")[0])
    return {"parent": facet("ParentRunFacet", run={"runId": run}, job={"namespace": namespace(), "name": job})}


def event(
    kind: str,
    run: str,
    job: str,
    *,
    job_type: str,
    run_facets: Facets | None = None,
    description: str = "",
    inputs: Sequence[dict[str, Any]] = (),
    outputs: Sequence[dict[str, Any]] = (),
    error: str | None = None,
    time: datetime | None = None,
) -> Event:
    """One event, as it is kept and sent.

    Parameters
    ----------
    kind : str
        ``START``, ``COMPLETE`` or ``FAIL``.
    run : str
        UUID, the same for the events of one attempt.
    job, job_type : str
        ``build/curated.objects`` and ``STEP``.
    error : str, optional
        What went wrong, of a ``FAIL``.
    """
    facets = {
        "processing_engine": facet("ProcessingEngineRunFacet", name="Stellar Platform", version=__version__),
        **(run_facets or {}),
    }
    if error is not None:
        facets["errorMessage"] = facet("ErrorMessageRunFacet", message=error, programmingLanguage="PYTHON")
    about = {"jobType": facet("JobTypeJobFacet", processingType="BATCH", integration="STELLAR", jobType=job_type)}
    if description:
        about["documentation"] = facet("DocumentationJobFacet", description=description)
    return {
        "eventType": kind,
        "eventTime": (time or datetime.now(UTC)).isoformat(),
        "producer": PRODUCER,
        "schemaURL": f"{_EVENT}RunEvent",
        "run": {"runId": run, "facets": facets},
        "job": {"namespace": namespace(), "name": job, "facets": about},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def open_run(connection: sa.Connection, key: str, job: str) -> str | None:
    """The run of a job on a snapshot that was started and has not ended, None where there is none."""
    last = connection.execute(_LAST, {"key": key, "job": job}).first()
    return last.run if last is not None and last.event_type == "START" else None


def keep(connection: sa.Connection, events: Sequence[Event], *, run_id: str | None, key: str | None) -> None:
    """Keep events in the ledger; `key` is the snapshot or model version that they are about."""
    rows = [
        {
            "time": one["eventTime"],
            "type": one["eventType"],
            "run": one["run"]["runId"],
            "job": one["job"]["name"],
            "run_id": run_id,
            "key": key,
            "body": one,
        }
        for one in events
    ]
    if rows:
        connection.execute(_KEEP, rows)


@contextmanager
def quietly(connection: sa.Connection) -> Iterator[None]:
    """What is told of the work must not undo the work: an error within is logged, and the transaction goes on."""
    try:
        with connection.begin_nested():
            yield
    except Exception:
        LOG.warning("an event of OpenLineage was not kept", exc_info=True)


def start_and_end(kind: str, make: Callable[[str, str], Event], run: str | None = None) -> list[Event]:
    """Events of work whose end alone is told: `make(kind, run)` for START, where none was kept, and for the end."""
    if run is not None:
        return [make(kind, run)]
    run = new_run()
    return [make("START", run), make(kind, run)]
