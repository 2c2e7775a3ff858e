"""Transfers over a server that drops, corrupts, ignores Range and answers 404, 416 and 503."""

from __future__ import annotations

import hashlib
import http.client
import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gridprep_download_server import Fault, RecordServer, http_date, noise, record_server

from gridprep.download import transfer
from gridprep.download.network import Network, NotThere, ServerUnreachable, check_url, fetch_json
from gridprep.download.record import fetch_record, parse_record
from gridprep.download.transfer import CannotWrite, RemoteFile, fetch_file, part_of
from manifests.errors import BadInput

CONTENT = noise(100_000)


@dataclass
class Log:
    """What the network waited and said, and the bytes that arrived."""

    waits_s: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    bytes: int = 0

    def count(self, n: int) -> None:
        self.bytes += n

    def network(self, retries: int = 4, timeout_s: float = 5.0) -> Network:
        return Network(timeout_s, retries, 1.0, self.waits_s.append, self.lines.append)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[RecordServer]:
    with record_server() as running:
        running.files["s1.zip"] = CONTENT
        yield running


@pytest.fixture
def log() -> Log:
    return Log()


def remote(server: RecordServer, name: str = "s1.zip") -> RemoteFile:
    return fetch_record(Network(), server.url).file(name)


def fetch(server: RecordServer, target: Path, log: Log, **patience: float) -> None:
    fetch_file(remote(server), target, log.network(**patience), log.count)  # type: ignore[arg-type]


def test_a_whole_file_arrives_and_nothing_else_stays(server, tmp_path, log) -> None:
    target = tmp_path / "deep" / "s1.zip"
    fetch(server, target, log)
    assert target.read_bytes() == CONTENT
    assert log.bytes == len(CONTENT)
    assert [path.name for path in target.parent.iterdir()] == ["s1.zip"]


def test_a_broken_connection_is_continued_where_it_broke(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("drop", 30_000), Fault("drop", 20_000))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    seen = server.requests("s1.zip")
    assert [request.range for request in seen] == [None, "bytes=30000-", "bytes=50000-"]
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert [request.if_range for request in seen] == [None, etag, etag]
    assert log.bytes == len(CONTENT)
    assert log.waits_s == [1.0, 2.0]


def test_a_reset_connection_is_continued(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("reset", 30_000))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert len(server.requests("s1.zip")) == 2
    assert log.bytes == len(CONTENT)


def test_a_silent_connection_is_given_up_and_continued(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("stall", 40_000))
    fetch(server, tmp_path / "s1.zip", log, timeout_s=0.3)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert server.requests("s1.zip")[1].range == "bytes=40000-"
    assert "timed out" in log.lines[0]


def test_a_server_that_never_stays_up_is_given_up_and_the_part_kept(server, tmp_path, log) -> None:
    server.fail("s1.zip", *[Fault("drop", 10_000)] * 3)
    with pytest.raises(ServerUnreachable, match=r"3 tries in a row.*run the same command again"):
        fetch(server, tmp_path / "s1.zip", log, retries=2)
    assert part_of(tmp_path / "s1.zip").read_bytes() == CONTENT[:30_000]
    assert not (tmp_path / "s1.zip").exists()
    again = Log()
    fetch(server, tmp_path / "s1.zip", again)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert again.bytes == 70_000
    assert server.requests("s1.zip")[-1].range == "bytes=30000-"


def test_tries_are_counted_anew_after_a_good_stretch(server, tmp_path, log, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "PROGRESS_BYTES", 10_000)
    server.fail("s1.zip", *[Fault("drop", 10_000)] * 6)
    fetch(server, tmp_path / "s1.zip", log, retries=1)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert log.waits_s == [1.0] * 6


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("drop", 30_000), Fault("no_range"))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert log.bytes == len(CONTENT)


def test_a_server_without_etags_is_resumed_without_if_range(server, tmp_path, log) -> None:
    server.etags = False
    server.fail("s1.zip", Fault("drop", 30_000))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert server.requests("s1.zip")[1].if_range is None


def test_another_stretch_than_asked_for_starts_anew(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("drop", 30_000), Fault("wrong_range"))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert [request.range for request in server.requests("s1.zip")] == [None, "bytes=30000-", None]
    assert log.bytes == len(CONTENT)


def test_416_starts_anew(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("drop", 30_000), Fault("status", 416))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert log.bytes == len(CONTENT)


def test_a_complete_part_is_verified_without_asking_again(server, tmp_path, log) -> None:
    server.fail("s1.zip", *[Fault("drop", 50_000)] * 2)
    file, target = remote(server), tmp_path / "s1.zip"
    with pytest.raises(ServerUnreachable):
        fetch_file(file, target, log.network(retries=0))
    part_of(target).write_bytes(CONTENT)
    before = len(server.seen)
    fetch_file(file, target, log.network())
    assert target.read_bytes() == CONTENT
    assert len(server.seen) == before


def test_a_part_of_another_file_is_not_continued(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("drop", 30_000))
    with pytest.raises(ServerUnreachable):
        fetch(server, tmp_path / "s1.zip", log, retries=0)
    server.files["s1.zip"] = noise(100_000, seed=1)  # the record has a new version of the same size
    fetch(server, tmp_path / "s1.zip", Log())
    assert (tmp_path / "s1.zip").read_bytes() == server.files["s1.zip"]
    assert server.requests("s1.zip")[-1].range is None


def test_a_part_without_its_note_is_not_trusted(server, tmp_path, log) -> None:
    part_of(tmp_path / "s1.zip").write_bytes(b"x" * 500)
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert server.requests("s1.zip")[0].range is None


def test_corruption_is_found_and_fetched_anew(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("corrupt"))
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert log.lines == ["s1.zip: its checksum is wrong, fetching it anew"]
    assert log.bytes == len(CONTENT)


def test_corruption_that_stays_is_refused(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("corrupt"), Fault("corrupt"))
    with pytest.raises(BadInput, match="arrived twice with another checksum") as caught:
        fetch(server, tmp_path / "s1.zip", log)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_there_is_not_fetched_again(server, tmp_path, log) -> None:
    (tmp_path / "s1.zip").write_bytes(CONTENT)
    fetch(server, tmp_path / "s1.zip", log)
    assert server.requests("s1.zip") == []
    assert log.bytes == 0


def test_a_damaged_archive_that_is_there_is_fetched_again(server, tmp_path, log) -> None:
    (tmp_path / "s1.zip").write_bytes(b"x" * 100_000)
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_not_there_is_not_tried_again(server, tmp_path, log, status) -> None:
    server.fail("s1.zip", Fault("status", status))
    with pytest.raises(NotThere, match=f"s1.zip/content: HTTP {status}"):
        fetch(server, tmp_path / "s1.zip", log)
    assert log.waits_s == []


def test_503_is_tried_again_after_the_wait_that_it_asks_for(server, tmp_path, log) -> None:
    server.fail(
        "s1.zip",
        Fault("status", 503, (("Retry-After", "7"),)),
        Fault("status", 429, (("Retry-After", http_date(40)),)),
        Fault("status", 503, (("Retry-After", "soon"),)),
        Fault("status", 500),
    )
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert log.waits_s[0] == 7.0
    assert 35 < log.waits_s[1] <= 40
    assert log.waits_s[2:] == [4.0, 8.0]
    assert "HTTP 503" in log.lines[0]
    assert "next try in 7 s" in log.lines[0]


def test_a_server_that_asks_for_hours_is_left_alone(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("status", 503, (("Retry-After", "7200"),)))
    with pytest.raises(ServerUnreachable, match="asks to wait 7200 s"):
        fetch(server, tmp_path / "s1.zip", log)
    assert log.waits_s == []


def test_a_page_instead_of_the_file_is_noticed_by_its_length(server, tmp_path, log) -> None:
    file = remote(server)
    server.files["s1.zip"] = b"<html>please log in</html>"
    with pytest.raises(ServerUnreachable, match="sends 26 bytes where the record says 100000"):
        fetch_file(file, tmp_path / "s1.zip", log.network(retries=1))


def test_a_full_disk_is_named_and_the_part_kept(server, tmp_path, log, monkeypatch) -> None:
    class Full(io.FileIO):
        def write(self, data) -> int:  # type: ignore[no-untyped-def]
            if self.tell() + len(data) > 20_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(transfer, "PIECE_BYTES", 5000)
    monkeypatch.setattr(transfer, "open", lambda path, mode: Full(path, mode), raising=False)
    with pytest.raises(CannotWrite, match=r"s1\.zip\.part: No space left on device; free space"):
        fetch(server, tmp_path / "s1.zip", log)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    kept = part_of(tmp_path / "s1.zip").stat().st_size
    assert 10_000 < kept <= 20_000
    fetch(server, tmp_path / "s1.zip", Log())
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert server.requests("s1.zip")[-1].range == f"bytes={kept}-"


def test_nobody_at_the_address(tmp_path, log) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ServerUnreachable, match="cannot connect"):
            fetch_record(log.network(retries=2), url)
    assert log.waits_s == [1.0, 2.0]


def test_no_redirection_leads_to_a_local_file(server, tmp_path, log) -> None:
    server.fail("s1.zip", Fault("status", 302, (("Location", "file:///etc/hostname"),)))
    with pytest.raises(NotThere, match="HTTP 302"):
        fetch(server, tmp_path / "s1.zip", log)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "zenodo.org", "http://", "http://host:port/"]
)
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(BadInput, match="is not an http or https address"):
        check_url(url)


def test_the_record_is_read(server) -> None:
    record = fetch_record(Network(), server.url + "/")
    assert record.title == "The Grid Corpus"
    assert record.license == "cc-by-4.0"
    assert record.file("s1.zip").size_bytes == 100_000
    with pytest.raises(BadInput, match=r"record 3625687 has no s9\.zip; it holds s1\.zip"):
        record.file("s9.zip")


def test_the_record_is_tried_again_too(server, log) -> None:
    path = "/api/records/3625687"
    server.faults[path] += [Fault("status", 503), Fault("drop", 40)]
    assert fetch_record(log.network(), server.url).files
    assert log.waits_s == [1.0, 2.0]


def test_an_unknown_record_is_one_clear_line(server, log) -> None:
    with pytest.raises(NotThere, match="records/99: HTTP 404"):
        fetch_record(log.network(), server.url, "99")
    with pytest.raises(BadInput, match=r"'\.\./1' is not a record number"):
        fetch_record(log.network(), server.url, "../1")


def test_an_answer_that_is_no_json(server, log) -> None:
    with pytest.raises(BadInput, match="does not answer with JSON"):
        fetch_json(server.url + server.path_of("s1.zip"), log.network())
    with pytest.raises(BadInput, match="more than 10 bytes"):
        fetch_json(server.url + "/api/records/3625687", log.network(), max_bytes=10)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"files": [{"key": "s1.zip"}]},
        {"files": [{"key": "s1.zip", "size": "big", "checksum": "md5:0"}]},
        {"files": 3},
    ],
)
def test_an_answer_that_is_no_record(document) -> None:
    with pytest.raises(BadInput, match="about record 1 is not understood"):
        parse_record(document, "1", "https://example.org")


def test_a_record_with_links_to_local_files_is_refused() -> None:
    entry = {"key": "s1.zip", "size": 1, "checksum": "md5:0", "links": {"self": "file:///etc/x"}}
    with pytest.raises(BadInput, match="is not an http or https address"):
        parse_record({"files": [entry]}, "1", "https://example.org")


@pytest.mark.parametrize(
    ("metadata", "license"),
    [
        ({"license": {"id": "cc-by-4.0"}}, "cc-by-4.0"),
        ({"license": "cc-by-4.0"}, "cc-by-4.0"),
        ({"rights": [{"id": "cc-by-4.0"}, {"title": "other"}]}, "cc-by-4.0, other"),
        ({}, ""),
    ],
)
def test_the_license_is_what_the_record_names(metadata, license) -> None:
    entry = {"key": "a b.zip", "size": 1, "checksum": "md5:0"}
    record = parse_record({"metadata": metadata, "files": [entry]}, "1", "https://example.org")
    assert record.license == license
    address = "https://example.org/records/1/files/a%20b.zip?download=1"
    assert record.file("a b.zip").url == address


def test_an_unknown_kind_of_checksum_is_refused(server, tmp_path, log) -> None:
    server.checksums["s1.zip"] = "crc7:00"
    with pytest.raises(BadInput, match="'crc7:00' is of an unknown kind"):
        fetch(server, tmp_path / "s1.zip", log)


def test_sha256_is_understood(server, tmp_path, log) -> None:
    server.checksums["s1.zip"] = "sha256:" + hashlib.sha256(CONTENT).hexdigest().upper()
    fetch(server, tmp_path / "s1.zip", log)
    assert (tmp_path / "s1.zip").exists()


def test_a_protocol_error_is_a_broken_connection(server, tmp_path, log, monkeypatch) -> None:
    answers = iter([http.client.IncompleteRead(b""), None])
    real = http.client.HTTPResponse.read1

    def read1(self, amount=-1):  # type: ignore[no-untyped-def]
        error = next(answers, None)
        if error:
            raise error
        return real(self, amount)

    file = remote(server)
    monkeypatch.setattr(http.client.HTTPResponse, "read1", read1)
    fetch_file(file, tmp_path / "s1.zip", log.network())
    assert (tmp_path / "s1.zip").read_bytes() == CONTENT
    assert "IncompleteRead" in log.lines[0]
