"""Checks of answers, on recorded ones of the real services and on spoilt copies of them."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from stellar.surveys.http import checks
from stellar.surveys.http.checks import AnswerError, RefusedError
from stellar.surveys.http.fits import ones_complement_sum, open_fits

VOTABLE = (
    b'<?xml version="1.0"?><VOTABLE version="1.4"><RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
    b"<TABLE></TABLE>%s</RESOURCE></VOTABLE>\n"
)


def response(body: bytes, status: int = 200, **headers: str) -> requests.Response:
    found = requests.Response()
    found.status_code, found._content = status, body
    found.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return found


@pytest.mark.parametrize("name", ["1710099405832VAL-result.vot", "job_1.vot"])
def test_recorded_votables_of_gaia_pass(real_data, name):
    body = (real_data / "archive_responses/gaia" / name).read_bytes()
    assert checks.votable(body).rstrip().endswith(b"</VOTABLE>")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_votable_does_not(real_data, share):
    body = (real_data / "archive_responses/gaia/1710099405832VAL-result.vot").read_bytes()
    with pytest.raises(AnswerError, match="cut off"):
        checks.votable(body[: int(len(body) * share)])
    assert checks.votable(gzip.compress(body)) == body
    with pytest.raises(AnswerError, match="gzip"):
        checks.votable(gzip.compress(body)[:-20])


def test_other_recorded_answers_are_no_votables(real_data):
    with pytest.raises(AnswerError, match="not a VOTable"):
        checks.votable((real_data / "archive_responses/gaia/1712337806100O-result.ecsv").read_bytes())
    assert checks.json_object((real_data / "archive_responses/mast/caom.json").read_bytes())["status"] == "COMPLETE"
    checks.csv_lines((real_data / "archive_responses/sdss/xid_sp.txt").read_bytes())
    with pytest.raises(AnswerError, match="not JSON"):
        checks.json_object((real_data / "archive_responses/mast/caom.json").read_bytes()[:-100])


def test_overflow_and_refused_queries_are_final():
    assert checks.votable(VOTABLE % b"")
    with pytest.raises(RefusedError, match="OVERFLOW"):
        checks.votable(VOTABLE % b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    with pytest.raises(RefusedError, match="no such column"):
        checks.votable(VOTABLE % b'<INFO name="QUERY_STATUS" value="ERROR">no such column</INFO>')


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>Maintenance</p>", b"  <HTML><body>Maintenance</body></HTML>"])
def test_pages_are_not_data(body):
    with pytest.raises(AnswerError, match=r"HTML page.*Maintenance"):
        checks.not_html(response(body))
    with pytest.raises(AnswerError, match="HTML page"):
        checks.not_html(response(b"Maintenance", Content_Type="text/html; charset=utf-8"))
    checks.not_html(response(b"1,2\n", Content_Type="text/plain"))


def test_statuses():
    checks.status(response(b"", 303))
    with pytest.raises(AnswerError) as caught:
        checks.status(response(b"slow down", 429, Retry_After="7"))
    assert caught.value.retry_after_s == 7
    with pytest.raises(RefusedError, match="HTTP 400: wrong column"):
        checks.status(response(b'{"error_message": "wrong column"}', 400))
    with pytest.raises(AnswerError, match="HTTP 503"):
        checks.status(response(b"", 503))


def test_retry_after_may_be_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert checks.retry_after(response(b"", 503, Retry_After=later)) == pytest.approx(90, abs=3)
    assert checks.retry_after(response(b"", 503, Retry_After="soon")) is None
    assert checks.retry_after(response(b"", 503)) is None


def fits_files(real_data):
    return sorted(real_data.glob("sdss_spectra/*.fits")) + sorted(real_data.glob("space_lightcurves/tess*.fits"))


def test_real_fits_files_pass_and_their_checksums_are_looked_at(real_data):
    checked = 0
    for path in fits_files(real_data):
        body = path.read_bytes()
        with open_fits(body) as hdus:
            checked += sum("CHECKSUM" in hdu.header for hdu in hdus)
            assert len(hdus) > 1
    assert checked > 0


def test_a_flipped_bit_and_a_lost_block_are_found(real_data):
    path = next(path for path in fits_files(real_data) if "tess" in path.name)
    body = bytearray(path.read_bytes())
    for cut in (len(body) // 2, len(body) - 2880, len(body) - 100):
        with pytest.raises(AnswerError):
            open_fits(bytes(body[:cut]))
    with open_fits(bytes(body)) as hdus:
        at = hdus[1].fileinfo()["datLoc"] + 4000
    body[at] ^= 1
    with pytest.raises(AnswerError, match="HDU 1 does not match its CHECKSUM"):
        open_fits(bytes(body))
    with pytest.raises(AnswerError, match="not a FITS file"):
        open_fits(b"<html></html>" * 2880)


def test_the_sum_carries_around():
    assert ones_complement_sum(b"\xff\xff\xff\xff\x00\x00\x00\x02") == 2
    assert ones_complement_sum(b"\x80\x00\x00\x00" * 2 + b"\xff\xff\xff\xfe") == 0xFFFFFFFF
