"""What the service does not do: write, read files, change settings, run for ever."""

import gzip

import httpx
import pytest

#: (what is asked, a word of the answer)
REFUSED = {
    "insert": ("INSERT INTO curated.objects VALUES (1)", "INSERT"),
    "delete": ("DELETE FROM curated.objects", "DELETE"),
    "update": ("UPDATE curated.objects SET ra = 0", "UPDATE"),
    "create": ("CREATE TABLE x AS SELECT 1", "CREATE"),
    "drop": ("DROP TABLE curated.objects", "DROP"),
    "copy": ("COPY curated.objects TO '/tmp/x'", "COPY"),
    "attach": ("ATTACH '/etc/passwd' AS x", "ATTACH"),
    "set": ("SET memory_limit = '100GB'", "SET"),
    "pragma": ("PRAGMA database_list", "PRAGMA"),
    "several": ("SELECT ra FROM curated.objects; DROP TABLE curated.objects", "one query at a time"),
    "read_csv": ("SELECT * FROM read_csv('/etc/passwd')", "'('"),
    "read_parquet": ("SELECT * FROM read_parquet('/etc/passwd')", "'('"),
    "glob": ("SELECT * FROM glob('/*')", "'('"),
    "file": ('SELECT * FROM "/etc/passwd"', "no table"),
    "file in a schema": ('SELECT * FROM curated."x.parquet"', "no table"),
    "function": ("SELECT getenv('HOME') FROM curated.objects", "no function GETENV"),
    "setting": ("SELECT current_setting('temp_directory') FROM curated.objects", "no function"),
    "cone": ("SELECT * FROM cone('curated.objects', 0, 0, 1)", "'('"),
    "raw": ("SELECT * FROM raw.stars", "no table 'raw.stars'"),
    "quarantine": ("SELECT * FROM quarantine.objects", "no table"),
    "ledger": ("SELECT * FROM ledger.snapshot", "no table"),
    "catalog": ("SELECT * FROM information_schema.tables", "no table"),
    "hidden column": ("SELECT prediction_set FROM scores.photometric_teff", "no column 'prediction_set'"),
    "row id": ("SELECT rowid FROM curated.objects", "no column 'rowid'"),
    "unknown column": ("SELECT raa FROM curated.objects", "did you mean ra?"),
    "syntax": ("SELECT ra FROM curated.objects\nWHERE ra >", "line 2, column 11"),
    "type": ("SELECT object_id * 2 FROM curated.objects", "cannot be answered"),
    "frame": ("SELECT ra FROM curated.objects WHERE 1=CONTAINS(POINT('GALACTIC',ra,dec),CIRCLE('ICRS',1,1,1))", "ICRS"),
    "nothing": ("", "QUERY is missing"),
}


def ask(url: str, query: str, **more: str) -> httpx.Response:
    return httpx.post(f"{url}/sync", data={"LANG": "ADQL", "QUERY": query, **more}, timeout=120)


@pytest.mark.parametrize("name", REFUSED)
def test_a_statement_is_refused_with_a_reason(service, name):
    query, word = REFUSED[name]
    answer = ask(service, query)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/x-votable+xml")
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text and word in answer.text.replace("&apos;", "'")
    assert "/etc/passwd" not in answer.text.replace(query, "") or name in ("file",)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"LANG": "PQL"}, "LANG"),
        ({"REQUEST": "getCapabilities"}, "doQuery"),
        ({"MAXREC": "many"}, "MAXREC"),
        ({"RESPONSEFORMAT": "docx"}, "RESPONSEFORMAT"),
        ({"UPLOAD": "t,param:x"}, "no file"),
        ({"UPLOAD": "t,file:///etc/passwd"}, "param:"),
        ({"UPLOAD": "t,http://127.0.0.1:1/x"}, "not a public address"),
        ({"UPLOAD": "t,http://localhost/x"}, "not a public address"),
        ({"UPLOAD": "1t,param:x"}, "a name has"),
    ],
)
def test_a_wrong_parameter_is_told(service, parameters, word):
    answer = ask(service, "SELECT ra FROM curated.objects", **parameters)
    assert answer.status_code == 400 and word in answer.text


@pytest.mark.parametrize(
    "document", [b"no xml", b"<VOTABLE/>", b'<!DOCTYPE v [<!ENTITY a "b">]><VOTABLE>&a;</VOTABLE>']
)
def test_a_bad_upload_is_told(service, document):
    data = {"LANG": "ADQL", "QUERY": "SELECT * FROM tap_upload.t", "UPLOAD": "t,param:t"}
    answer = httpx.post(f"{service}/sync", data=data, files={"t": document}, timeout=60)
    assert answer.status_code == 400 and "UPLOAD t" in answer.text
    assert "upload-" not in answer.text


def test_a_packed_upload_is_refused_and_one_with_too_many_rows(service):
    rows = b"<TR><TD/></TR>" * 60_000
    head = b'<VOTABLE><RESOURCE><TABLE><FIELD name="x" datatype="int"/><DATA><TABLEDATA>'
    document = head + rows + b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    data = {"LANG": "ADQL", "QUERY": "SELECT COUNT(*) FROM tap_upload.t", "UPLOAD": "t,param:t"}
    packed = httpx.post(f"{service}/sync", data=data, files={"t": gzip.compress(document)}, timeout=60)
    assert packed.status_code == 400 and "unpacked" in packed.text
    plain = httpx.post(f"{service}/sync", data=data, files={"t": document}, timeout=60)
    assert plain.status_code == 400 and "upload fewer rows" in plain.text


def test_an_upload_that_is_too_large_is_refused(service):
    data = {"LANG": "ADQL", "QUERY": "SELECT * FROM tap_upload.t", "UPLOAD": "t,param:t"}
    answer = httpx.post(f"{service}/sync", data=data, files={"t": b"x" * (8 << 20)}, timeout=60)
    assert answer.status_code == 400 and "smaller" in answer.text


ENDLESS = {
    "join": "SELECT COUNT(*) FROM curated.objects a, curated.objects b, curated.objects c, curated.objects d"
    " WHERE a.ra * b.ra + c.ra * d.dec > 1",
    "sort": "SELECT a.ra FROM curated.objects a, curated.objects b, curated.objects c ORDER BY a.ra * b.ra + c.dec",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_query_is_stopped_and_the_next_is_answered(service, name):
    answer = ask(service, ENDLESS[name])
    assert answer.status_code == 400
    assert "was stopped after" in answer.text or "more memory" in answer.text
    assert ask(service, "SELECT COUNT(*) FROM curated.objects", RESPONSEFORMAT="csv").text == "count\n3000\n"


def test_a_query_nested_without_end_is_refused_or_answered(service):
    deep = "(" * 3000 + "1" + ")" * 3000
    answer = ask(service, f"SELECT {deep} FROM curated.objects")
    assert answer.status_code == 400 and "ERROR" in answer.text
    assert ask(service, "SELECT TOP 1 1 AS x FROM curated.objects", RESPONSEFORMAT="csv").text == "x\n1\n"


def test_a_query_that_is_too_long_is_refused(service):
    answer = ask(service, "SELECT ra FROM curated.objects WHERE ra > 1" + " " * 500_000)
    assert answer.status_code == 400 and "characters" in answer.text


def test_more_rows_than_the_hard_limit_are_cut(service):
    query = "SELECT a.ra FROM curated.objects a, curated.objects b"
    answer = ask(service, query, MAXREC="999999999", RESPONSEFORMAT="csv")
    assert len(answer.text.splitlines()) == 50_001
