"""One way to speak HTTP, handed to every client: timeouts, retries, checks, rate, concurrency, cache, deadline."""

from __future__ import annotations

import fcntl
import hashlib
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter

from stellar.errors import ServiceError
from stellar.surveys.http import checks
from stellar.surveys.http.cache import ResponseCache
from stellar.surveys.http.checks import AnswerError, RefusedError

CHUNK = 1 << 16  # bytes read between two looks at the clock
# Raises for an answer that is not good; what it returns (an opened file, say) `UnitSession.verified` gives back.
Check = Callable[[requests.Response], Any]
Cacheable = Callable[[str, str], bool]


@dataclass(frozen=True)
class Policy:
    """How a service is asked.

    Parameters
    ----------
    timeout_s
        Longest silence within one request.
    retries
        Further attempts per request.
    deadline_s
        Longest time for one unit, retries and waits included.
    concurrency
        Requests under way at once, per process.
    rate_per_s
        Requests started per second, over all processes of a home; 0 is no limit.
    max_bytes
        Largest answer that is read.
    """

    timeout_s: float = 30.0
    retries: int = 6
    deadline_s: float = 600.0
    concurrency: int = 4
    rate_per_s: float = 0.0
    backoff_s: float = 0.5
    backoff_max_s: float = 20.0
    max_bytes: int = 1 << 30


class RateLimit:
    """Start times spaced evenly over all processes that share the file."""

    def __init__(self, path: Path, per_s: float) -> None:
        self.path, self.spacing_s = path, 1 / per_s if per_s else 0.0

    def wait(self) -> None:
        """Sleep until this request's turn."""
        if not self.spacing_s:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            now, text = time.time(), file.read().strip()
            turn = max(now, float(text) if text else 0.0)
            turn = min(turn, now + 60.0)  # a clock that was set back must not stop the syncs
            file.truncate(0)
            file.write(repr(turn + self.spacing_s))
        time.sleep(max(0.0, turn - now))


class Transport:
    """What all units of one survey share in one process: connections, turns, cache."""

    def __init__(self, service: str, policy: Policy, cache: ResponseCache | None, rate_file: Path) -> None:
        self.service, self.policy, self.cache = service, policy, cache
        self.turns = threading.BoundedSemaphore(policy.concurrency)
        self.rate = RateLimit(rate_file, policy.rate_per_s)
        self.adapter = HTTPAdapter(pool_connections=4, pool_maxsize=policy.concurrency)

    def session(self, unit: str, tag: str, check: Check, cacheable: Cacheable | None = None) -> UnitSession:
        """A session for one unit; `tag` is its sign, and answers cached under another sign are not seen."""
        return UnitSession(self, unit, tag, check, cacheable)


class UnitSession(requests.Session):
    """A `requests` session whose every answer was read whole and passed the checks, or else raised `ServiceError`."""

    def __init__(self, transport: Transport, unit: str, tag: str, check: Check, cacheable: Cacheable | None) -> None:
        super().__init__()
        self.transport, self.unit, self.tag = transport, unit, tag
        self.check, self.cacheable = check, cacheable
        self.deadline = time.monotonic() + transport.policy.deadline_s
        self.last: requests.Response | None = None  # for clients that hand on the table and not the answer
        self.trust_env = False  # no proxies or netrc from the environment for a service on loopback or elsewhere
        self.mount("http://", transport.adapter)
        self.mount("https://", transport.adapter)

    def error(self, reason: object) -> ServiceError:
        """A `ServiceError` of this unit."""
        return ServiceError(self.transport.service, self.unit, str(reason))

    def remaining_s(self) -> float:
        """Seconds until the unit's deadline; raises once it has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.error(f"not finished within {self.transport.policy.deadline_s:.0f} s")
        return left

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """As `requests.Session.request`, but timeout and streaming are the policy's, whatever the caller says."""
        key = ""
        if self.transport.cache and self.cacheable and self.cacheable(method.upper(), url):
            key = ResponseCache.key(
                self.transport.service, method.upper(), url, kwargs.get("params"), kwargs.get("data"), self.tag
            )
            cached = self.transport.cache.get(key)
            if cached:
                self.last = _response(method, url, *cached)
                self.last.cache_key = key  # type: ignore[attr-defined]
                return self.last
        response = self.attempt(lambda: self._once(method, url, *args, **kwargs))
        if key and self.transport.cache:
            kind = response.headers.get("Content-Type", "")
            self.transport.cache.put(key, response.content, status=response.status_code, type=kind)
            response.cache_key = key  # type: ignore[attr-defined]
        self.last = response
        return response

    def forget(self, response: requests.Response | None) -> None:
        """Drop an answer from the cache: it passed the checks, but what is in it turned out to be wrong or short."""
        key = getattr(response, "cache_key", "")
        if key and self.transport.cache:
            self.transport.cache.drop(key)

    def attempt(self, call: Callable[[], Any], retries: int | None = None) -> Any:
        """Call until it gives no `AnswerError` or network error, as often and as long as the policy allows."""
        attempts = 1 + (self.transport.policy.retries if retries is None else retries)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type((AnswerError, requests.RequestException)),
            reraise=True,
        )
        try:
            return retrying(call)
        except RefusedError as error:
            raise self.error(error) from error
        except (AnswerError, requests.RequestException) as error:
            raise self.error(f"failed {attempts} times, last: {_plain(error)}") from error

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Exponential backoff with full jitter, or what Retry-After asks for if that is longer."""
        policy = self.transport.policy
        seconds = tenacity.wait_random_exponential(policy.backoff_s, policy.backoff_max_s)(state)
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, AnswerError) and error.retry_after_s:
            seconds = max(seconds, error.retry_after_s)
        if seconds >= self.remaining_s():
            raise self.error(f"no time left for another attempt, last: {_plain(error)}")
        return seconds

    def _once(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        policy = self.transport.policy
        with self.transport.turns:
            self.transport.rate.wait()
            kwargs["timeout"] = min(policy.timeout_s, self.remaining_s())
            kwargs["stream"] = True
            response = super().request(method, url, *args, **kwargs)
            _read(response, self.deadline, policy.max_bytes)
        checks.status(response)
        if response.status_code < 300 and method.upper() != "HEAD":
            response.verified = self.check(response)  # type: ignore[attr-defined]
        return response

    def verified(self, response: requests.Response) -> Any:
        """What the check made of the answer; made anew for one from the cache."""
        return response.verified if hasattr(response, "verified") else self.check(response)


def combined_sha256(digests: list[str]) -> str:
    """One SHA-256 for several answers, whatever the order that they came in."""
    unique = sorted(digests)
    return unique[0] if len(unique) == 1 else hashlib.sha256("".join(unique).encode()).hexdigest()


def _read(response: requests.Response, deadline: float, max_bytes: int) -> None:
    """Read the body whole, within the deadline, and hold its length against Content-Length."""
    body = bytearray()
    while chunk := _next(response):
        body += chunk
        if len(body) > max_bytes:
            response.close()
            raise RefusedError(f"the answer is larger than {max_bytes} bytes")
        if time.monotonic() > deadline:
            response.close()
            raise AnswerError(f"the answer dripped in too slowly: {len(body)} bytes until the deadline")
    response._content, response._content_consumed = bytes(body), True  # type: ignore[attr-defined]
    response.raw = _Body(response.content)
    length = response.headers.get("Content-Length")
    is_plain = not response.headers.get("Content-Encoding") and response.request.method != "HEAD"
    if length and length.isdigit() and is_plain and int(length) != len(body):
        raise AnswerError(f"{len(body)} of {length} bytes came")


def _next(response: requests.Response) -> bytes:
    """What has come of the body, decoded; `iter_content` would wait for a full chunk and let a drip go on for ever."""
    try:
        return response.raw.read1(CHUNK, decode_content=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error, response=response) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error, response=response) from error


def _response(method: str, url: str, described: dict[str, Any], body: bytes) -> requests.Response:
    """A response as from the network, of a cached body."""
    response = requests.Response()
    response.status_code, response.url, response.reason = described["status"], url, "OK"
    response.headers["Content-Type"], response.headers["Content-Length"] = described["type"], str(len(body))
    response.request = requests.Request(method, url).prepare()
    response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
    response.raw = _Body(body)
    return response


class _Body(io.BytesIO):
    """The body for those who read `response.raw`, as pyvo does."""

    def read(self, size: int | None = -1, decode_content: bool = True) -> bytes:
        return super().read(size)


def _plain(error: BaseException | None) -> str:
    """A network error in a few words, without the object addresses of urllib3's."""
    if isinstance(error, requests.Timeout):
        return "no answer in time (timeout)"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke in the middle of the answer"
    if isinstance(error, requests.ConnectionError):
        return "no connection (is the service up?)"
    return str(error)
