"""Published systems' speech: imported, scored and reported in one walk."""

import os
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from manifests.io import read_jsonl
from manifests.records import Score

DATA = Path(
    os.environ.get("GRIDPREP_REAL_DATA", Path(__file__).parents[3] / "shared" / "data" / "grid")
)
SYSTEMS = DATA.parent / "systems" / "visual-voice-memory"
NAMES = {
    "Lip2Wav": "lip2wav", "VVM (Griffin-Lim)": "ours_griffin_lim", "VVM (WaveNet)": "ours_wavenet",
    "Recording": "ground_truth",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not SYSTEMS.is_dir(), reason=f"{SYSTEMS} is not there")


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    assert result.exit_code == 0, result.output
    assert not result.return_value
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("systems")
    for name, file in NAMES.items():
        output = invoke(
            "import", "--wavs", SYSTEMS, "--pattern", f"{{speaker}}_{{stem}}/{file}.wav",
            "--references", SYSTEMS, "--reference-pattern", "{speaker}_{stem}/ground_truth.wav",
            "--name", name, "--split", "small", "--out", root / file,
            "--kind", "recording" if name == "Recording" else "model",
        )  # fmt: skip
        assert "imported 8 + failed 0 + missing 0 = asked 8" in output
        assert "24 unmatched" in output
    return [root / file for file in NAMES.values()]


def test_every_clip_is_there_as_published(runs: list[Path]) -> None:
    for root, file in zip(runs, NAMES.values(), strict=True):
        run = read_run(root)
        assert [clip.clip_id for clip in run.clips] == [
            "s1/bbbf7s", "s1/sgib9s", "s2/brwg8a", "s2/swwjza",
            "s29/bgar1s", "s29/sbby8p", "s4/lgbf6s", "s4/swbvzs",
        ]  # fmt: skip
        for clip in run.clips:
            source = SYSTEMS / f"{clip.speaker}_{clip.stem}" / f"{file}.wav"
            made, theirs = (soundfile.read(p, dtype="int16")[0] for p in (run.wav(clip), source))
            assert (made == theirs).all()
        assert run.clips[3].sentence == "set white with j zero again"
        assert run.clips[3].gender == "male"


def test_they_are_reported_beside_the_paper(runs: list[Path], tmp_path: Path) -> None:
    output = invoke(
        "report", *runs, "--metrics", "stoi,estoi,length_difference_ms", "--table", "small",
        "--out", tmp_path, "--jobs", 1,
    )  # fmt: skip
    assert "8 clips, 0 missing; 24 scores ok, 0 failed" in output
    scores = read_jsonl(runs[0] / "scores.jsonl", "scores", Score)[1]
    lengths = {s.value for s in scores if s.metric == "length_difference_ms"}
    assert lengths == {-170.0}, "2.79 s of 2.96 s: their window"
    text = (tmp_path / "report.md").read_text()
    assert "| reported | Lip2wav | 3.39 | 8 | 15.4 | 3.57 | – |" in text
    assert "| measured | Lip2Wav | – | – | – | – | – |" in text
