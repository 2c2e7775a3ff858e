"""The bundled weights `synthgrid`, from a corpus made here to speech: what their card promises of
speakers that they never saw, on a few clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from builds import gridprep

from facetron.checkpoints import bundled
from facetron.synthesis.run import SynthesisOptions, synthesize
from gridprep.features.prosody import prosody
from manifests.io import read_manifest
from manifests.mel import DEFAULT

pytestmark = pytest.mark.skipif(
    "synthgrid" not in bundled.names(), reason="no bundled weights in this checkout"
)
MEN, WOMEN = ("s1", "s2"), ("s4", "s29")
SENTENCES = 3


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthgrid")
    speakers = ",".join((*MEN, *WOMEN))
    corpus = ("synth", root / "grid", "--speakers", speakers, "--sentences", SENTENCES)
    assert gridprep(*corpus, "--jobs", 1)[0] == 0
    common = ("--corpus", root / "grid", "--out", root / "features", "--jobs", 1)
    assert gridprep("build", *common, "--split", "large-unseen")[0] == 0
    return root / "features"


def median_f0_hz(path: Path) -> float:
    sound, _ = soundfile.read(path, dtype="float32")
    found = prosody(sound, DEFAULT)
    assert found.voiced.mean() > 0.1, f"{path} is whispered"
    return float(np.median(found.f0_hz[found.voiced]))


def test_unseen_speakers_say_their_words_in_a_voice_of_their_gender(build: Path) -> None:
    out = build.parent / "run"
    report = synthesize(SynthesisOptions(build, "synthgrid", out, subset="test", device="cpu"))
    assert (report.asked, report.wrote) == (len(MEN + WOMEN) * SENTENCES,) * 2
    assert all(not speaker.seen for speaker in report.speakers)
    rows = read_manifest(build)[1]
    wrong = words = 0
    f0_hz: dict[str, list[float]] = {}
    for row in rows:
        with np.load(out / "embeddings" / f"{row.clip_id}.npz") as facts:
            read = str(facts["text"]).split()
        said = row.sentence.split()
        wrong += sum(word not in read for word in said)
        words += len(said)
        f0_hz.setdefault(row.speaker, []).append(median_f0_hz(out / "wavs" / f"{row.clip_id}.wav"))
    assert wrong <= 0.3 * words, "by chance nine tenths"
    medians = {speaker: float(np.median(values)) for speaker, values in f0_hz.items()}
    assert max(medians[speaker] for speaker in MEN) < 160
    assert min(medians[speaker] for speaker in WOMEN) > 185
