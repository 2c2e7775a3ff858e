"""HTTP requests with retries: which errors are retried, how often, and after which wait."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, Protocol
from urllib.parse import urlsplit

from manifests.errors import BadInput, ToolkitError

PIECE_BYTES = 1 << 18
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 900.0
USER_AGENT = "facetron-toolkit gridprep download"


class ServerUnreachable(ToolkitError):
    """The server cannot be reached or does not stay up, after all tries."""


class NotThere(BadInput):
    """The server answers, and says that it has no such thing."""


class Body(Protocol):
    """The part of an HTTP response that is used here."""

    status: int
    headers: Message

    def read1(self, amount: int, /) -> bytes: ...


class Broken(Exception):
    """This try failed; another may succeed. `wait_s` is what the server asked for, if it did."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class CannotResume(Exception):
    """The part and the server's file do not fit together: start anew."""


@dataclass(frozen=True)
class Network:
    """Timeouts and retries of HTTP requests.

    Attributes:
        timeout_s: seconds without data after which a connection is closed.
        retries: tries after the first, in a row, before giving up.
        backoff_s: wait before the first retry, doubled each time up to a minute.
        sleep: function that waits; tests replace it.
        say: called with a line for each wait.
    """

    timeout_s: float = 60.0
    retries: int = 6
    backoff_s: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = lambda _: None

    def pause(self, url: str, failures: int, broken: Broken) -> None:
        """Waits before the next try, or raises `ServerUnreachable` where there is none."""
        host = urlsplit(url).netloc
        if failures > self.retries:
            raise ServerUnreachable(
                f"{url}: {broken} ({failures} tries in a row)",
                "check the connection and run the same command again, it goes on where it stopped",
            )
        wait_s = min(self.backoff_s * 2 ** (failures - 1), MAX_BACKOFF_S)
        if broken.wait_s is not None:
            if broken.wait_s > MAX_RETRY_AFTER_S:
                raise ServerUnreachable(
                    f"{host} asks to wait {broken.wait_s:.0f} s", "run the same command again then"
                )
            wait_s = max(wait_s, broken.wait_s)
        self.say(f"{host}: {broken}; next try in {wait_s:.0f} s")
        self.sleep(wait_s)


def check_url(url: str) -> str:
    """`url` if it is http or https with a host. Raises `BadInput`: no file:, no ftp:."""
    parts = urlsplit(url)
    try:
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise BadInput(f"{url!r} is not an http or https address", "check --base-url")
    return url


def _make_opener() -> urllib.request.OpenerDirector:
    """Like urllib's default, but without file: and ftp:, so that no redirection leads there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _retry_after_s(headers: Message) -> float | None:
    """The wait that a `Retry-After` header asks for: seconds or an HTTP date."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None


@contextlib.contextmanager
def open_url(url: str, headers: dict[str, str], network: Network) -> Iterator[Body]:
    """An open response. Raises `Broken`, `CannotResume` (416) or `NotThere`."""
    request = urllib.request.Request(
        check_url(url),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
    )
    try:
        response = _make_opener().open(request, timeout=network.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            reason = f"HTTP {error.code} {error.reason}".rstrip()
            if error.code == 416:
                raise CannotResume from None
            if error.code in RETRY_STATUSES:
                raise Broken(reason, _retry_after_s(error.headers)) from None
            raise NotThere(f"{url}: {reason}", "check the record number and --base-url") from None
    except urllib.error.URLError as error:
        raise Broken(f"cannot connect ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise Broken(f"cannot connect ({error or type(error).__name__})") from None
    with response:
        yield response


def content_length(response: Body) -> int | None:
    """The bytes that the response says it has, None where it does not say."""
    value = (response.headers.get("Content-Length") or "").strip()
    return int(value) if value.isdecimal() else None


def read_some(response: Body, amount: int) -> bytes:
    """Up to `amount` bytes, b"" at the end. Raises `Broken`."""
    try:
        return response.read1(amount)  # what has come, so that a break loses nothing
    except (OSError, http.client.HTTPException) as error:
        raise Broken(f"the connection broke ({error or type(error).__name__})") from None


def _read_all(response: Body, max_bytes: int) -> bytes:
    """The whole body. Raises `Broken` where it ends early, `BadInput` where it is too long."""
    due_bytes = content_length(response)
    text = b""
    while due_bytes is None or len(text) < due_bytes:
        piece = read_some(response, PIECE_BYTES)
        if not piece:
            break
        text += piece
        if len(text) > max_bytes:
            raise BadInput(f"the answer has more than {max_bytes} bytes", "check --base-url")
    if due_bytes is not None and len(text) < due_bytes:
        raise Broken(f"the connection broke after {len(text)} of {due_bytes} bytes")
    return text


def fetch_json(url: str, network: Network, max_bytes: int = 1 << 24) -> Any:
    """The JSON document at `url`, with retries.

    Raises `NotThere` for 404 and its like, `ServerUnreachable` after the last try and `BadInput`
    for an answer that is no JSON.
    """
    failures = 0
    while True:
        try:
            with open_url(url, {"Accept": "application/json"}, network) as response:
                text = _read_all(response, max_bytes)
            break
        except (Broken, CannotResume) as error:
            broken = error if isinstance(error, Broken) else Broken("HTTP 416")
            failures += 1
            network.pause(url, failures, broken)
    try:
        return json.loads(text)
    except ValueError:
        raise BadInput(
            f"{url} does not answer with JSON",
            "check --base-url, and that no login page intercepts the request",
        ) from None
