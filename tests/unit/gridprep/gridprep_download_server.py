"""A record server on the loopback that misbehaves as it is told, for the tests of `download`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import struct
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RECORD = "3625687"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: `kind`, and for `drop`, `reset` and `stall` after how much.

    Kinds: `drop` (ends early), `reset` (TCP reset), `stall` (falls silent), `corrupt` (one byte
    differs), `status` (answers `value`), `no_range` (ignores Range), `wrong_range` (sends another
    stretch than asked), `slow` (a piece every 20 ms).
    """

    kind: str
    value: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    path: str
    range: str | None
    if_range: str | None


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip of path → content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return out.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    """`size` bytes that do not compress."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


class RecordServer:
    """Files by name, the record that lists them, and the faults to come by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.seen: list[Seen] = []
        self.etags = True
        self.checksums: dict[str, str] = {}
        """Overrides of what the record says."""
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self.http.shutdown()
        self.http.server_close()

    def path_of(self, name: str) -> str:
        return f"/api/records/{RECORD}/files/{name}/content"

    def fail(self, name: str, *faults: Fault) -> None:
        """The next requests for the file `name` go wrong like this, one after another."""
        self.faults[self.path_of(name)] += faults

    def requests(self, name: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == self.path_of(name)]

    def checksum(self, name: str) -> str:
        return self.checksums.get(name) or "md5:" + hashlib.md5(self.files[name]).hexdigest()

    def record(self) -> dict[str, object]:
        return {
            "id": int(RECORD),
            "metadata": {"title": "The Grid Corpus", "license": {"id": "cc-by-4.0"}},
            "files": [
                {
                    "key": name,
                    "size": len(content),
                    "checksum": self.checksum(name),
                    "links": {"self": self.url + self.path_of(name)},
                }
                for name, content in self.files.items()
            ],
        }

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.seen.append(Seen(path, request.headers["Range"], request.headers["If-Range"]))
        fault = self.faults[path].pop(0) if self.faults[path] else Fault("")
        content = None
        if path == f"/api/records/{RECORD}":
            content = json.dumps(self.record()).encode()
        for name, stored in self.files.items():
            if path == self.path_of(name):
                content = stored
        if content is None:
            fault = Fault("status", 404)
        if fault.kind == "status":
            request.send_response(fault.value)
            for key, value in fault.headers:
                request.send_header(key, value)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        assert content is not None
        self._send(request, content, fault)

    def _send(self, request: BaseHTTPRequestHandler, content: bytes, fault: Fault) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        asked = request.headers["Range"]
        if_range = request.headers["If-Range"]
        if asked and fault.kind != "no_range" and if_range in (None, etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(content)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            if fault.kind == "wrong_range":
                start -= 1
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        body = content[start:]
        request.send_header("Content-Length", str(len(body)))
        if self.etags:
            request.send_header("ETag", etag)
        request.end_headers()
        if fault.kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.kind in ("drop", "reset", "stall"):
            request.wfile.write(body[: fault.value])
            request.wfile.flush()
            request.close_connection = True
            if fault.kind == "stall":
                self.stopping.wait(5)
            if fault.kind == "reset":
                time.sleep(0.05)  # lets the bytes through before the reset overtakes them
                linger = struct.pack("ii", 1, 0)
                request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                request.connection.close()
        elif fault.kind == "slow":
            for at in range(0, len(body), 1000):
                request.wfile.write(body[at : at + 1000])
                if self.stopping.wait(0.02):
                    return
        else:
            request.wfile.write(body)


@contextlib.contextmanager
def record_server() -> Iterator[RecordServer]:
    server = RecordServer()
    try:
        yield server
    finally:
        server.close()


def http_date(seconds_from_now: float) -> str:
    return formatdate(time.time() + seconds_from_now, usegmt=True)
