"""Records cross boundaries as plain values and come back as they were."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest

from manifests import errors
from manifests.errors import ClipError, ManifestError
from manifests.records import (
    LIP_POINTS,
    POINT_NAMES,
    STABLE_POINTS,
    Clip,
    ClipFailure,
    Landmarks,
    ManifestRow,
    Record,
    RunClip,
    RunInfo,
    Score,
    WordSpan,
)

WORDS = ("bin", "blue", "at", "f", "two", "now")


def row() -> ManifestRow:
    return ManifestRow(
        speaker="s1",
        gender="male",
        stem="bbaf2n",
        sentence=" ".join(WORDS),
        subset="test",
        words=tuple(
            WordSpan(w, 0.4 * i, 0.4 * (i + 1), 10 * i, 10 * (i + 1)) for i, w in enumerate(WORDS)
        ),
        paths={"lips": "lips/s1/bbaf2n.avi"},
        video_frames=75,
        audio_samples=48_000,
        sample_rate_hz=16_000,
        mel_frames=150,
        samples_added=352,
        flags=("frames_repeated",),
        qc={"peak": 0.5, "f0_median_hz": None},
        source_path="s1/bbaf2n.mpg",
        source_sha256="c0ffee",
        fingerprints={"mel": "0123"},
    )


RECORDS: list[Record] = [
    row(),
    Clip("s1", "bbaf2n", "/x.mpg", "/x.align", "s2", ("speaker_folder",)),
    ClipFailure("s1", "bbaf2n", "align", "no_face", "none", "x", {"n": 3, "deep": {"list": [1]}}),
    RunClip("s1", "bbaf2n", "bin blue", "male", "w.wav", seen=None),
    RunClip("s1", "bbaf2n", "bin blue", "male", "w.wav", seen=False),
    RunInfo("Lip2Wav", "model", "small", "test", 16_000, 100, parameters={"a": [1, 2]}),
    Score("s1", "bbaf2n", "stoi", None, "failed", "silent"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_a_record_survives_json(record: Record) -> None:
    text = json.dumps(record.to_dict(), allow_nan=False)
    assert type(record).from_dict(json.loads(text)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_plain_values_are_those_of_dataclasses(record: Record) -> None:
    """Ours is only quicker than `dataclasses.asdict`."""
    assert record.to_dict() == dataclasses.asdict(record)
    assert list(record.to_dict()) == [f.name for f in dataclasses.fields(record)]


def test_unknown_fields_are_passed_over_and_missing_ones_are_named() -> None:
    values = row().to_dict() | {"new_in_version_2": 1}
    assert ManifestRow.from_dict(values) == row()
    del values["extra_mels"]  # has a default
    assert ManifestRow.from_dict(values) == row()
    del values["stem"], values["words"]
    with pytest.raises(ManifestError, match="ManifestRow lacks stem, words; rebuild the manifest"):
        ManifestRow.from_dict(values)
    broken = json.loads(json.dumps(row().to_dict()))
    del broken["words"][2]["end_s"]
    with pytest.raises(ManifestError, match="WordSpan lacks end_s"):
        ManifestRow.from_dict(broken)


@dataclass(frozen=True)
class Nested(Record):
    many: tuple[WordSpan, ...]
    maybe: WordSpan | None = None
    names: tuple[str, ...] | None = None
    either: int | str = 0


def test_nested_and_optional_records() -> None:
    word = WordSpan("bin", 0.0, 0.4, 0, 10)
    for nested in (
        Nested(()),
        Nested((word, word), word, ("a",), "x"),
        Nested((word,), None, None),
    ):
        assert Nested.from_dict(json.loads(json.dumps(nested.to_dict()))) == nested


def test_records_are_frozen_and_named_by_speaker_and_stem() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        row().speaker = "s2"  # type: ignore[misc]
    assert row().clip_id == "s1/bbaf2n"
    assert ClipFailure("s1", "x", "find", "r", "d").clip_id == "s1/x"


def test_point_names() -> None:
    assert len(POINT_NAMES) == len(set(POINT_NAMES)) == 20
    assert set(STABLE_POINTS) | set(LIP_POINTS) <= set(POINT_NAMES)
    assert not set(STABLE_POINTS) & set(LIP_POINTS), "speech must not move the frame"


def test_landmarks_by_name() -> None:
    points = np.arange(2 * 20 * 2, dtype=np.float32).reshape(2, 20, 2)
    marks = Landmarks(points, np.ones(2, np.bool_), np.ones(2, np.int16), "b")
    assert marks.named("chin", "nose_tip").shape == (2, 2, 2)
    np.testing.assert_array_equal(
        marks.named("chin", "nose_tip")[1, 0], points[1, POINT_NAMES.index("chin")]
    )


def test_errors_are_one_line_with_a_code_of_their_own() -> None:
    error = errors.Locked("x is locked", "wait")
    assert (str(error), error.problem, error.remedy) == ("x is locked; wait", "x is locked", "wait")
    assert str(errors.BadInput("only a problem")) == "only a problem"
    kinds = (errors.ToolkitError, errors.BadInput, errors.MissingDependency, errors.Locked,
             errors.TooManyFailures)  # fmt: skip
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 5]


def test_errors_cross_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ClipError("align", "no_face", "none", {"n": 1})))
    assert (error.stage, error.reason, error.detail, error.evidence) == (
        "align",
        "no_face",
        "none",
        {"n": 1},
    )
    bad = pickle.loads(pickle.dumps(errors.BadInput("x is bad", "mend it")))
    assert (str(bad), bad.problem, bad.remedy) == ("x is bad; mend it", "x is bad", "mend it")
