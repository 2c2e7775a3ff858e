"""Weight files: by path, from torch's cache, from a local server; each fault gives one line."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gridprep.landmarks.weights import WeightFile, cache_folder, find_weights, load_tensors
from manifests.errors import BadInput, MissingDependency

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"net-{DIGEST[:10]}.pth"


@pytest.fixture(autouse=True)
def _torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/good": CONTENT, "/corrupt": CONTENT[:-1] + b"!", "/short": CONTENT[:99]}.get(
                self.path
            )
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def file(url: str = "http://127.0.0.1:9/none", given: str = "", name: str = NAME) -> WeightFile:
    return WeightFile(name, url, "fan_weights", given)


def test_downloads_into_torchs_cache_and_uses_it_from_then_on(server: str) -> None:
    (found,) = find_weights([file(f"{server}/good")])
    assert found.path == cache_folder() / NAME
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == DIGEST
    assert find_weights([file("http://127.0.0.1:9/none")]) == [found]


@pytest.mark.parametrize(
    ("path", "why"), [("corrupt", "invalid hash"), ("short", "invalid hash"), ("gone", "404")]
)
def test_failed_downloads_name_the_file_and_leave_nothing(server: str, path: str, why: str) -> None:
    with pytest.raises(MissingDependency, match=why) as caught:
        find_weights([file(f"{server}/{path}")])
    message = str(caught.value)
    assert "\n" not in message
    assert NAME in message
    assert "fan_weights=PATH" in message
    assert str(cache_folder()) in message
    assert list(cache_folder().iterdir()) == []


def test_without_network_one_line_lists_every_file() -> None:
    other = WeightFile("s3fd-619a316812.pth", "http://127.0.0.1:9/b", "detector_weights")
    with pytest.raises(MissingDependency) as caught:
        find_weights([file(), other])
    for part in (
        NAME,
        "s3fd-619a316812.pth",
        "option fan_weights=PATH --landmark-option detector_weights=PATH",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_given_path_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    assert find_weights([file(given=str(path))])[0].path == path


def test_given_path_that_is_not_there() -> None:
    with pytest.raises(
        BadInput, match=r"/none/x\.pth does not exist; check --landmark-option fan_weights"
    ):
        find_weights([file(given="/none/x.pth")])


def test_given_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "2DFAN4-11f355bf06.pth.tar"
    path.write_bytes(CONTENT)
    with pytest.raises(BadInput, match=f"damaged.*{DIGEST[:10]}"):
        find_weights([file(given=str(path))])


def test_damaged_file_in_the_cache_is_named(tmp_path: Path) -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / NAME).write_bytes(b"half")
    with pytest.raises(BadInput, match="damaged"):
        find_weights([file()])


def test_name_without_a_hash_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "blazeface.pth"
    path.write_bytes(CONTENT)
    assert find_weights([file(given=str(path), name="blazeface.pth")])[0].sha256 == DIGEST


def test_load_tensors(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pth")
    assert load_tensors(tmp_path / "good.pth")["a"].tolist() == [1, 1]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("code of a weights file was run",))


@pytest.mark.parametrize("kind", ["evil", "torchscript", "garbage", "empty", "list", "numbers"])
def test_load_tensors_refuses_everything_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.pth"
    if kind == "evil":
        torch.save({"a": Evil()}, path)
    elif kind == "torchscript":
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path))
    elif kind == "list":
        torch.save([torch.ones(1)], path)
    elif kind == "numbers":
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        path.write_bytes(b"" if kind == "empty" else b"not weights at all")
    with pytest.raises(BadInput, match=r"bad\.pth does not hold plain weights") as caught:
        load_tensors(path)
    assert "\n" not in str(caught.value)
