"""The transport against a small server that answers as it is told."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stellar.errors import ServiceError
from stellar.surveys.http import checks
from stellar.surveys.http.cache import ResponseCache
from stellar.surveys.http.transport import Policy, RateLimit, Transport, combined_sha256

GOOD = (200, {"Content-Type": "text/plain"}, b"rows\n")


@pytest.fixture
def server():
    """Gives the answers of its list in turn, the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.server.times.append(time.monotonic())
            answers = self.server.answers
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(body):
                return body(self)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = "Content-Length" in headers

        def log_message(self, *_):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.daemon_threads = True
    found.answers, found.times = [GOOD], []
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{found.server_port}/x"
    yield found
    found.shutdown()
    found.server_close()


def session(tmp_path, tag="", check=checks.not_html, cacheable=None, **policy):
    settings = {"timeout_s": 5, "retries": 3, "backoff_s": 0.01, "backoff_max_s": 0.02, "deadline_s": 20, **policy}
    cache = ResponseCache(tmp_path / "cache", 10_000)
    return Transport("gaia at nowhere", Policy(**settings), cache, tmp_path / "rate").session(
        "unit 7", tag, check, cacheable
    )


def test_bad_answers_are_asked_for_again(server, tmp_path):
    server.answers = [
        (503, {}, b"down"),
        (200, {"Content-Type": "text/html"}, b"<html>later</html>"),
        (200, {"Content-Length": "1000"}, b"cut"),
        GOOD,
    ]
    assert session(tmp_path).get(server.url).content == b"rows\n"
    assert len(server.times) == 4


def test_retry_after_is_honoured(server, tmp_path):
    server.answers = [(429, {"Retry-After": "1"}, b""), GOOD]
    session(tmp_path).get(server.url)
    assert server.times[1] - server.times[0] >= 1


def test_in_the_end_it_fails_naming_service_and_unit(server, tmp_path):
    server.answers = [(503, {}, b"<h1>Overloaded</h1>")]
    with pytest.raises(ServiceError, match=r"gaia at nowhere: unit unit 7: failed 4 times, last: HTTP 503: Overloaded"):
        session(tmp_path).get(server.url)


def test_what_is_final_is_asked_for_once(server, tmp_path):
    server.answers = [(404, {}, b"no such plate")]
    with pytest.raises(ServiceError, match="HTTP 404: no such plate"):
        session(tmp_path).get(server.url)
    assert len(server.times) == 1


def test_silence_ends_by_the_timeout(server, tmp_path):
    server.answers = [(0, {}, lambda handler: time.sleep(3)), GOOD]
    start = time.monotonic()
    assert session(tmp_path, timeout_s=0.3).get(server.url).content == b"rows\n"
    assert time.monotonic() - start < 3


def test_a_drip_ends_by_the_deadline(server, tmp_path):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x" * 10)
            time.sleep(0.05)

    server.answers = [(0, {}, drip)]
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"unit unit 7"):
        session(tmp_path, deadline_s=1.0, timeout_s=0.5).get(server.url)
    assert time.monotonic() - start < 10


def test_a_wait_beyond_the_deadline_is_not_waited(server, tmp_path):
    server.answers = [(429, {"Retry-After": "3600"}, b"")]
    with pytest.raises(ServiceError, match="no time left"):
        session(tmp_path).get(server.url)


def test_too_large_an_answer_is_refused(server, tmp_path):
    server.answers = [(200, {}, b"x" * 5000)]
    with pytest.raises(ServiceError, match="larger than 1000 bytes"):
        session(tmp_path, max_bytes=1000).get(server.url)


def test_nobody_listens(tmp_path):
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"no connection \(is the service up\?\)"):
        session(tmp_path).get("http://127.0.0.1:9/x")
    assert time.monotonic() - start < 5


def test_verified_answers_are_kept_under_their_sign(server, tmp_path):
    server.answers = [(503, {}, b""), GOOD]
    for _ in range(3):
        assert session(tmp_path, "a", cacheable=lambda method, url: True).get(server.url).content == b"rows\n"
    assert len(server.times) == 2
    session(tmp_path, "b", cacheable=lambda method, url: True).get(server.url)
    assert len(server.times) == 3
    (kept, _) = sorted((tmp_path / "cache").glob("??/*"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    for sign in "ab":
        session(tmp_path, sign, cacheable=lambda method, url: True).get(server.url)
    assert len(server.times) == 4


def test_the_cache_stays_within_its_size(tmp_path):
    cache = ResponseCache(tmp_path, 3000)
    for number in range(10):
        cache.put(cache.key(number), bytes(500))
        time.sleep(0.01)
    cache.prune()
    kept = [number for number in range(10) if cache.get(cache.key(number))]
    assert kept == [5, 6, 7, 8, 9]


def test_turns_are_spaced_over_all_who_share_the_file(tmp_path):
    start = time.monotonic()
    limits = [RateLimit(tmp_path / "rate", 20.0) for _ in range(3)]
    threads = [threading.Thread(target=limit.wait) for limit in limits for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.4 <= time.monotonic() - start < 5


def test_one_hash_for_many_answers_in_any_order():
    assert combined_sha256(["b", "a"]) == combined_sha256(["a", "b"]) != combined_sha256(["a", "c"])
    assert combined_sha256(["a"]) == "a"


def test_a_forgotten_answer_is_asked_for_again(server, tmp_path):
    server.answers = [(200, {"Content-Type": "text/plain"}, b"ro"), GOOD]

    def whole():
        response = one.get(server.url)
        if response.content != b"rows\n":
            one.forget(response)
            raise checks.AnswerError("1 rows came where 2 were counted")
        return response.content

    one = session(tmp_path, "sign", cacheable=lambda *_: True)
    assert one.attempt(whole) == b"rows\n"
    assert one.get(server.url).content == b"rows\n"
    assert len(server.times) == 2
    # as of one that came from the cache
    one.forget(one.get(server.url))
    one.get(server.url)
    assert len(server.times) == 3
