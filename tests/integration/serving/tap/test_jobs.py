"""Jobs: the phases of UWS, what is kept of them, what a restart leaves of them; promotions under a service."""

import re
import signal
import time

import httpx
import pytest

from made_sky import bring_sky
from served_tap import running
from stellar.engine.context import Context

ENDLESS = (
    "SELECT COUNT(*) FROM curated.objects a, curated.objects b, curated.objects c, curated.objects d"
    " WHERE a.ra * b.ra + c.ra * d.dec > 1"
)
QUICK = "SELECT COUNT(*) AS n FROM curated.objects"


def create(url: str, query: str, **more: str) -> str:
    answer = httpx.post(f"{url}/async", data={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv", **more})
    assert answer.status_code == 303
    return answer.headers["location"]


def phase(job: str, wait: str = "60") -> str:
    """Phase once it is none that changes by itself."""
    for _ in range(6):
        found = re.search(r"<uws:phase>(\w+)<", httpx.get(job, params={"WAIT": wait}, timeout=90).text)
        assert found
        if found[1] not in ("QUEUED", "EXECUTING"):
            break
    return found[1]


def until(job: str, wanted: str) -> None:
    give_up = time.monotonic() + 60
    while httpx.get(f"{job}/phase").text != wanted:
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_job_goes_through_its_phases(service, lake):
    job = create(service, QUICK)
    assert httpx.get(f"{job}/phase").text == "PENDING"
    assert httpx.get(f"{job}/results/result").status_code == 404
    assert httpx.post(f"{job}/phase", data={"PHASE": "RUN"}).status_code == 303
    assert phase(job) == "COMPLETED"
    assert httpx.get(f"{job}/results/result").text == "n\n3000\n"
    document = httpx.get(job).text
    with lake.asks() as connection:
        (key,) = connection.execute("SELECT snapshot FROM ledger.current WHERE dataset = 'curated.objects'").fetchone()
    assert f'dataset="curated.objects" key="{key}"' in document
    assert "results/result" in httpx.get(f"{job}/results").text
    assert QUICK in httpx.get(f"{job}/parameters").text
    for name in ("quote", "owner", "executionduration", "destruction"):
        assert httpx.get(f"{job}/{name}").status_code == 200


def test_a_job_is_changed_aborted_and_deleted(service):
    job = create(service, QUICK)
    httpx.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "7"})
    assert httpx.get(f"{job}/executionduration").text == "7"
    httpx.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "9999999"})
    assert httpx.get(f"{job}/executionduration").text == "60"
    httpx.post(f"{job}/destruction", data={"DESTRUCTION": "2999-01-01T00:00:00Z"})
    assert not httpx.get(f"{job}/destruction").text.startswith("2999")
    httpx.post(f"{job}/parameters", data={"QUERY": ENDLESS})
    httpx.post(f"{job}/phase", data={"PHASE": "RUN"})
    until(job, "EXECUTING")
    assert httpx.post(f"{job}/parameters", data={"QUERY": QUICK}).status_code == 400
    httpx.post(f"{job}/phase", data={"PHASE": "ABORT"})
    assert phase(job) == "ABORTED"
    assert httpx.delete(job).status_code == 303
    assert httpx.get(job).status_code == 404
    other = create(service, QUICK)
    assert httpx.post(other, data={"ACTION": "DELETE"}).status_code == 303
    assert httpx.get(other).status_code == 404


def test_the_uploads_of_several_requests_are_joined(service):
    def upload(url: str, name: str, value: int, **more: str) -> httpx.Response:
        document = (
            '<VOTABLE><RESOURCE><TABLE><FIELD name="x" datatype="int"/><DATA><TABLEDATA>'
            f"<TR><TD>{value}</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
        )
        return httpx.post(url, data={"UPLOAD": f"{name},param:t", **more}, files={"t": document.encode()})

    job = create(service, "SELECT a.x AS one, b.x AS other FROM tap_upload.a AS a, tap_upload.b AS b")
    for name, value in (("a", 1), ("b", 2), ("B", 3)):
        assert upload(f"{job}/parameters", name, value).status_code == 303
    assert upload(f"{job}/parameters", "a", 4, UPLOAD="a,param:none").status_code == 400
    assert "a,param:t;B,param:t" in httpx.get(f"{job}/parameters").text
    httpx.post(f"{job}/phase", data={"PHASE": "RUN"})
    assert phase(job) == "COMPLETED"
    assert httpx.get(f"{job}/results/result").text == "one,other\n1,3\n"


def test_a_job_that_takes_too_long_or_is_wrong_ends_in_error(service):
    slow = create(service, ENDLESS, PHASE="RUN")
    late = create(service, ENDLESS)
    httpx.post(late, data={"EXECUTIONDURATION": "1"})
    httpx.post(late, data={"PHASE": "RUN"})
    wrong = create(service, "SELECT x FROM curated.objects", PHASE="RUN")
    assert phase(late) == "ERROR" and "stopped after" in httpx.get(f"{late}/error").text
    assert phase(wrong) == "ERROR" and "no column" in httpx.get(wrong).text
    assert httpx.get(f"{wrong}/results/result").status_code == 400
    httpx.post(f"{slow}/phase", data={"PHASE": "ABORT"})


def test_the_list_is_filtered(service):
    jobs = [create(service, QUICK) for _ in range(3)]
    listed = httpx.get(f"{service}/async", params={"PHASE": "PENDING", "LAST": "2"}).text
    assert listed.count("<uws:jobref") == 2
    assert jobs[-1] in listed and jobs[0] not in listed
    assert "<uws:phase>COMPLETED" not in listed
    assert httpx.get(f"{service}/async", params={"AFTER": "2999-01-01T00:00:00Z"}).text.count("<uws:jobref") == 0
    assert httpx.get(f"{service}/async", params={"LAST": "x"}).status_code == 400


def test_a_job_is_destroyed_at_its_time(lake):
    from stellar.serving.tap.jobs import Jobs
    from stellar.serving.tap.lake import Releases

    releases = Releases(lake.settings.model_copy(update={"home": lake.settings.home / "other"}), lake.engine)
    jobs = Jobs(lake.settings.model_copy(update={"home": lake.settings.home / "other"}), releases)
    kept, gone = (jobs.create({"QUERY": QUICK}) for _ in range(2))
    jobs.change(gone, destruction="2001-01-01T00:00:00.000Z")
    jobs.clear()
    assert jobs.get(gone.job_id) is None and not jobs.folder(gone).exists()
    assert jobs.get(kept.job_id) is kept and jobs.folder(kept).is_dir()
    jobs.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_outlive_the_service(lake, how):
    with running(lake.settings) as (url, process):
        done = create(url, QUICK, PHASE="RUN")
        assert phase(done) == "COMPLETED"
        pending = create(url, QUICK)
        slow = [create(url, ENDLESS, PHASE="RUN") for _ in range(2)]
        for job in slow:
            until(job, "EXECUTING")
        queued = create(url, QUICK, PHASE="RUN")
        assert httpx.get(f"{queued}/phase").text == "QUEUED"
        process.send_signal(how)
        process.wait(30)
    with running(lake.settings) as (url, _):
        moved = [f"{url}/async/{job.rpartition('/')[2]}" for job in (done, pending, queued, *slow)]
        assert httpx.get(f"{moved[0]}/results/result").text == "n\n3000\n"
        assert httpx.get(f"{moved[1]}/phase").text == "PENDING"
        assert phase(moved[2]) == "COMPLETED"
        for job in moved[3:]:
            assert phase(job) == "ERROR" and "the service ended" in httpx.get(f"{job}/error").text


def test_a_promotion_is_seen_without_a_restart(service, lake):
    """Last in the file: it changes what is current."""
    text = {"LANG": "ADQL", "QUERY": QUICK, "RESPONSEFORMAT": "csv"}
    assert httpx.get(f"{service}/sync", params=text).text == "n\n3000\n"
    bring_sky(Context(lake.settings, lake.engine), n=500, seed=2)
    assert httpx.get(f"{service}/sync", params=text).text == "n\n3500\n"
