"""Whether a build is what its manifest says, byte for byte, and the repair of what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from builds import STUB, add_clip, digests, gridprep, times_ns

from gridprep.pipeline import run as build
from gridprep.pipeline.check import check
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput
from manifests.io import read_manifest, validate

STEMS = stems_of("s1")[:3]


@pytest.fixture
def out(tmp_path: Path, sound_clip: Path, stub: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build of three clips, run in this process."""

    class Serial:
        def map(self, function: Any, items: list[Any]) -> Any:
            yield from map(function, items)

    monkeypatch.setattr(build, "create_executor", lambda *_: Serial())
    for stem in STEMS:
        add_clip(tmp_path / "corpus", "s1", stem, sound_clip)
    code, _, _ = gridprep(
        "build", "--corpus", tmp_path / "corpus", "--out", tmp_path / "out", "--landmarks", STUB,
        "--mel", "facetron", "--mel", "lip2wav", "--face-every", "25",
    )  # fmt: skip
    assert code == 0
    return tmp_path / "out"


def zero(path: Path) -> None:
    """What a bad disk does: other bytes, the same size and the same times."""
    path.write_bytes(b"\0" * path.stat().st_size)


def test_a_sound_build_is_sound_wherever_it_lies(out: Path, tmp_path: Path) -> None:
    report = check(out)
    assert (report.rows, report.files, report.damage) == (3, 3 * 7, ())
    shutil.copytree(out, tmp_path / "copy")
    code, printed, _ = gridprep("check", tmp_path / "copy")
    assert code == 0
    assert "21 files of 3 clips, 0 damaged" in printed


def test_damage_is_found_and_repaired_and_the_rest_is_left(out: Path) -> None:
    before, times = digests(out), times_ns(out)
    damaged = [
        f"lips/s1/{STEMS[0]}.avi",
        f"mel/s1/{STEMS[1]}.npy",
        f"mel-lip2wav/s1/{STEMS[1]}.npy",
        f"audio/s1/{STEMS[2]}.wav",
    ]
    for name in damaged[:3]:
        zero(out / name)
    validate(read_manifest(out)[1][:2], out)  # sizes tell nothing
    code, printed, _ = gridprep("build", "--corpus", out.parent / "corpus", "--out", out,
                                "--landmarks", STUB, "--limit", "1", "--mel", "facetron",
                                "--mel", "lip2wav", "--face-every", "25")  # fmt: skip
    assert "0 worked on, 1 unchanged" in printed
    (out / damaged[3]).unlink()
    code, printed, _ = gridprep("check", out)
    assert code == 1
    assert "4 damaged" in printed
    assert f"changed: {damaged[0]}" in printed
    assert f"missing: {damaged[3]}" in printed
    assert f"next: gridprep check {out} --repair" in printed
    code, printed, _ = gridprep("check", out, "--json")
    values = json.loads(printed)
    assert {d["path"] for d in values["damage"]} == set(damaged)
    assert {d["problem"] for d in values["damage"]} == {"changed", "missing"}
    code, printed, _ = gridprep("check", out, "--repair")
    assert code == 0
    assert "repaired: 4, still damaged: 0" in printed
    assert digests(out) == before
    assert len(read_manifest(out)[1]) == 3
    moved = {name for name, time in times_ns(out).items() if times[name] != time}
    assert {name for name in moved if STEMS[0] in name} == {
        f"lips/s1/{STEMS[0]}.avi",
        f"face/s1/{STEMS[0]}.jpg",
    }
    assert gridprep("check", out)[0] == 0


def test_a_repair_that_cannot_be_is_one_line(out: Path) -> None:
    zero(out / f"lips/s1/{STEMS[0]}.avi")
    corpus = out.parent / "corpus"
    corpus.rename(out.parent / "moved")
    code, _, error = gridprep("check", out, "--repair")
    assert code == 2
    assert "corpus does not exist" in error
    provenance = json.loads((out / "provenance.json").read_text())
    changed = provenance | {"stages": provenance["stages"] | {"crop": "crop 0 another OpenCV"}}
    (out / "provenance.json").write_text(json.dumps(changed))
    code, _, error = gridprep("check", out, "--repair", "--corpus", out.parent / "moved")
    assert code == 2
    assert "was made with other versions than are installed here (crop)" in error
    (out / "provenance.json").write_text("{}")
    code, _, error = gridprep("check", out, "--repair")
    assert code == 2
    assert "provenance.json does not say how the build was made" in error
    (out / "provenance.json").write_text(json.dumps(provenance))
    assert gridprep("check", out, "--repair", "--corpus", out.parent / "moved")[0] == 0


def test_a_manifest_without_hashes_says_so(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        check(tmp_path / "corpus")
    text = (out / "manifest.jsonl").read_text().splitlines()
    row = json.loads(text[1])
    del row["sha256"]
    (out / "manifest.jsonl").write_text("\n".join([text[0], json.dumps(row)]))
    with pytest.raises(BadInput, match="has no SHA-256 of its files"):
        check(out)
