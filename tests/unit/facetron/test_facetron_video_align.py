"""Lips and stills of any file, on SynthGRID's faces: those that a build would cut, whatever the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import pictures, tiny_clip
from facetron_videos import write_h264
from numpy.typing import NDArray
from odd_media import Pictures, renamed_codec, squeezed, turned_in_the_header, write

from facetron.video import align
from facetron.video.align import Aligner, open_video, spread, takes_crops
from gridprep.features import crops
from gridprep.landmarks import registry
from gridprep.landmarks.registry import create
from gridprep.media import frames as frames_module
from gridprep.media.decode import decode
from gridprep.media.footage import Footage
from manifests.errors import BadInput
from manifests.specs import CropSpec, LandmarkSpec


@pytest.fixture(scope="module")
def aligner() -> Iterator[Aligner]:
    made = Aligner("facemesh")
    yield made
    made.close()


@pytest.fixture(scope="module")
def clip(synth_corpus: Path) -> Path:
    return sorted((synth_corpus / "s1").glob("*.mpg"))[0]


@pytest.fixture(scope="module")
def face(clip: Path) -> NDArray[np.uint8]:
    """(75, 288, 360, 3)."""
    return decode(clip).frames


def aligned_of(aligner: Aligner, path: Path) -> tuple[int, align.AlignedVideo]:
    with open_video(path) as footage:
        return len(footage), aligner.video(footage)


def difference(one: align.AlignedVideo, other: align.AlignedVideo) -> float:
    """Mean difference of the lips' pixels, of 255."""
    return float(np.abs(one.lips.astype(int) - other.lips).mean())


@pytest.mark.parametrize("keep_bytes", [64_000_000, 1_500_000])
def test_crops_are_those_of_a_build_to_the_bit(
    clip: Path, face: NDArray[np.uint8], aligner: Aligner, keep_bytes: int
) -> None:
    backend = create("facemesh")
    found = backend.detect(face, LandmarkSpec().every)
    backend.close()
    track = crops.track(found, LandmarkSpec(), CropSpec())
    cut = crops.crop_clip(face, track, CropSpec())
    aligned = aligner.video(Footage(clip, 600, keep_bytes))
    np.testing.assert_array_equal(aligned.lips, cut.lips)
    np.testing.assert_array_equal(aligned.stills, cut.stills)
    assert aligned.still_frames.tolist() == list(range(0, 75, 5))
    assert aligned.notes == ()


def test_a_long_video_is_decoded_four_times_however_long(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To see how long it is, to its middle and through for the landmarks, and through to cut: the
    landmarks' looks back stay within what is kept."""
    opened, begun = frames_module.opened, []

    def counted(path: str) -> object:
        begun.append(path)
        return opened(path)

    monkeypatch.setattr(frames_module, "opened", counted)
    for n in (30, 75):
        begun.clear()
        video = tiny_clip(tmp_path / f"{n}.mpg", face[:n], audio=False)
        assert len(aligner.video(Footage(video, 600, keep_bytes=1)).lips) == n
        assert len(begun) == 4


def test_other_sizes_and_turns_give_the_same_lips(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    """Three times as large, and lying on the side: the warp brings all to the mean face."""
    frames = face[:20]
    large = [cv2.resize(f, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC) for f in frames]
    lying = [np.rot90(f, -1) for f in frames]
    _, plain = aligned_of(aligner, write_h264(tmp_path / "plain.mp4", frames))
    for path in (
        write_h264(tmp_path / "large.mp4", large),
        turned_in_the_header(write_h264(tmp_path / "lying.mp4", lying), 90),
    ):
        n, other = aligned_of(aligner, path)
        assert n == 20
        assert difference(plain, other) < 6, path
    assert difference(plain, replace(plain, lips=np.roll(plain.lips, 8, axis=1))) > 9


def test_fifty_frames_a_second_are_read_at_25(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    n, aligned = aligned_of(
        aligner, tiny_clip(tmp_path / "x.mkv", face[:40].repeat(2, axis=0), fps=50, audio=False)
    )
    _, plain = aligned_of(aligner, tiny_clip(tmp_path / "y.mkv", face[:40], audio=False))
    assert n == 40
    assert difference(aligned, plain) < 3
    assert aligned.notes == plain.notes == ()


def test_few_frames_a_second_are_said(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    path = tiny_clip(tmp_path / "x.mkv", face[:30:2], fps=12.5, audio=False)
    n, aligned = aligned_of(aligner, path)
    assert n == 30
    assert aligned.notes == (
        f"{path} has 12.5 frames per second, lips are read at 25: expect mistakes",
    )


def test_of_two_faces_the_central_one_is_taken_and_said(
    tmp_path: Path, synth_corpus: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    other = decode(sorted((synth_corpus / "s4").glob("*.mpg"))[0]).frames[:20]
    small = np.stack([cv2.resize(f, (240, 192)) for f in other])
    beside = np.pad(small, ((0, 0), (48, 48), (0, 0), (0, 0)), mode="edge")
    path = write_h264(tmp_path / "x.mp4", np.concatenate([beside, face[:20]], axis=2))
    _, both = aligned_of(aligner, path)
    _, alone = aligned_of(aligner, write_h264(tmp_path / "y.mp4", face[:20]))
    (note,) = both.notes
    assert note.startswith(f"{path} shows 2 faces: took the most central and large one;")
    _, those = aligned_of(aligner, write_h264(tmp_path / "z.mp4", other))
    assert difference(both, alone) < 6 < 12 < difference(both, those)


@pytest.mark.parametrize(("who", "which"), [("left", 0), ("right", 1), ("largest", 1), ("1", 0)])
def test_one_of_several_faces_can_be_chosen(
    tmp_path: Path, synth_corpus: Path, face: NDArray[np.uint8], who: str, which: int
) -> None:
    other = decode(sorted((synth_corpus / "s4").glob("*.mpg"))[0]).frames[:20]
    small = np.stack([cv2.resize(f, (240, 192)) for f in other])
    beside = np.pad(small, ((0, 0), (48, 48), (0, 0), (0, 0)), mode="edge")
    path = write_h264(tmp_path / "x.mp4", np.concatenate([beside, face[:20]], axis=2))
    chooser = Aligner(who=who)
    _, found = aligned_of(chooser, path)
    alone = [aligned_of(chooser, write_h264(tmp_path / "y.mp4", f))[1] for f in (other, face[:20])]
    assert difference(found, alone[which]) < difference(found, alone[1 - which])
    assert found.notes == (f"{path} shows 2 faces: took --who {who}",)
    picture = tmp_path / "both.png"
    cv2.imwrite(str(picture), np.concatenate([beside, face[:20]], axis=2)[0][..., ::-1])
    stills, _ = chooser.stills(picture)  # whose voice it is does not depend on whose lips
    default = Aligner()
    np.testing.assert_array_equal(stills, default.stills(picture)[0])
    default.close()
    chooser.close()


def test_frames_without_the_face_are_guessed_and_said(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    frames = face[:40].copy()
    frames[12:20] = 90
    path = write_h264(tmp_path / "x.mp4", frames)
    _, aligned = aligned_of(aligner, path)
    lost, cut = aligned.notes
    assert "no face in" in lost
    assert "cuts to another picture at 0.48, 0.80 s" in cut
    assert len(aligned.lips) == 40


def test_a_cut_to_another_speaker_is_said(
    tmp_path: Path, synth_corpus: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    other = decode(sorted((synth_corpus / "s4").glob("*.mpg"))[0]).frames
    path = write_h264(tmp_path / "x.mp4", np.concatenate([face[:30], other[30:60]]))
    n, aligned = aligned_of(aligner, path)
    assert n == 60
    (note,) = (note for note in aligned.notes if "cuts" in note)
    assert note.startswith(f"{path} cuts to another picture at 1.20 s: the lips are read")
    assert "; split the file there" in note


def test_oblong_pixels_give_the_same_lips(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    """Anamorphic pictures, stored at half their width."""
    frames = face[:20]
    _, plain = aligned_of(aligner, write_h264(tmp_path / "plain.mp4", frames))
    stored = Pictures(squeezed(frames, 180), aspect=Fraction(2))
    _, oblong = aligned_of(aligner, write(tmp_path / "x.mp4", stored))
    assert difference(plain, oblong) < 6
    wrong = Pictures(squeezed(frames, 180))
    _, as_stored = aligned_of(aligner, write(tmp_path / "y.mp4", wrong))
    assert difference(plain, as_stored) > 1.5 * difference(plain, oblong)


def test_a_size_that_changes_has_a_remedy(tmp_path: Path, aligner: Aligner) -> None:
    small, large = (
        write(tmp_path / f"{n}.ts", Pictures(pictures(10, (n, 288)))) for n in (200, 360)
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(BadInput, match=r"200×288 to 360×288; encode it again at one size"):
        aligned_of(aligner, both)


def test_a_codec_without_decoder_has_a_remedy(tmp_path: Path, aligner: Aligner) -> None:
    path = renamed_codec(write(tmp_path / "x.mov", Pictures(pictures(10))), b"avc1", b"evc1")
    with pytest.raises(BadInput, match=r"codec that FFmpeg cannot decode; convert it"):
        aligned_of(aligner, path)


def test_a_face_on_its_head_is_refused_as_by_a_build(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    """A face is found there all the same, and its hair would be read for lips."""
    source = write_h264(tmp_path / "turned.mp4", face[:20, ::-1, ::-1])
    with pytest.raises(BadInput, match=r"turned\.mp4: the face is upside down; turn it"):
        aligned_of(aligner, source)
    cv2.imwrite(str(tmp_path / "turned.png"), face[0, ::-1, ::-1, ::-1])
    with pytest.raises(BadInput, match=r"turned\.png: the face is upside down; turn it"):
        aligner.stills(tmp_path / "turned.png")


def test_a_picture_is_no_video(tmp_path: Path, aligner: Aligner) -> None:
    path = tmp_path / "IMG_1234.HEIC"
    path.write_bytes(b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf" + bytes(99))
    with pytest.raises(BadInput, match=r"IMG_1234\.HEIC is a picture, not a video; give a video"):
        aligned_of(aligner, path)


def wall(path: Path, face: NDArray[np.uint8]) -> None:
    write_h264(path, np.full_like(face[:10], 90))


def seldom(path: Path, face: NDArray[np.uint8]) -> None:
    write_h264(path, np.concatenate([face[:8], np.full_like(face[:32], 90)]))


def instant(path: Path, face: NDArray[np.uint8]) -> None:
    write_h264(path, face[:3])


@pytest.mark.parametrize(
    ("words", "make"),
    [
        (
            "no face in any frame, or too small a one; give one in which a face is seen from the front",
            wall,
        ),
        ("frames; cut it to where the face is seen", seldom),
        ("lasts 0.12 s; give 0.2 s or more", instant),
        (
            "is not a video that FFmpeg can read",
            lambda path, face: path.write_text("not at all " * 99),
        ),
        ("has no video stream", lambda path, face: tiny_clip(path, 0)),
        ("has no bytes", lambda path, face: path.touch()),
        ("No such file", lambda path, face: None),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path, face: NDArray[np.uint8], aligner: Aligner, words: str, make: object
) -> None:
    path = tmp_path / "x.mp4"
    make(path, face)  # type: ignore[operator]
    with pytest.raises(BadInput) as caught:
        aligned_of(aligner, path)
    assert words in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_a_video_of_no_end_is_refused(
    tmp_path: Path, face: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(align, "MAX_S", 0.5)
    path = write_h264(tmp_path / "x.mp4", face[:20])
    with pytest.raises(BadInput, match=r"is longer than 0\.5 s; cut it"), open_video(path):
        pass


def test_stills_of_pictures_and_videos(
    tmp_path: Path, clip: Path, face: NDArray[np.uint8], aligner: Aligner
) -> None:
    _, aligned = aligned_of(aligner, clip)
    from_video, notes = aligner.stills(clip)
    np.testing.assert_array_equal(from_video, aligned.stills)
    assert notes == ()
    large = cv2.resize(face[0], None, fx=7, fy=7, interpolation=cv2.INTER_CUBIC)
    for name, picture in (("x.png", face[0]), ("large.jpg", large)):
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
        still, notes = aligner.stills(tmp_path / name)
        assert still.shape == (1, 160, 160, 3)
        assert notes == ()
        assert np.abs(still[0].astype(int) - aligned.stills[0]).mean() < 8, name
    # A face need not last: a video of one frame, and a picture that FFmpeg alone can read.
    write_h264(tmp_path / "one.mp4", face[:1])
    cv2.imwrite(str(tmp_path / "float.tiff"), face[0][..., ::-1].astype(np.float32) / 255)
    for name in ("one.mp4", "float.tiff"):
        still, _ = aligner.stills(tmp_path / name)
        assert np.abs(still[0].astype(int) - aligned.stills[0]).mean() < 8, name


def test_pictures_without_a_face_are_refused(tmp_path: Path, aligner: Aligner) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 300, 3), 90, np.uint8))
    with pytest.raises(BadInput, match=r"wall\.png: no face in the picture; give one"):
        aligner.stills(tmp_path / "wall.png")
    with pytest.raises(BadInput, match=r"gone\.png does not exist"):
        aligner.stills(tmp_path / "gone.png")
    (tmp_path / "x.dat").write_text("no picture")
    with pytest.raises(BadInput, match=r"x\.dat is not a video"):
        aligner.stills(tmp_path / "x.dat")


def test_backends_that_need_all_frames_get_them(
    clip: Path, stub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubbed = Aligner(stub)
    with open_video(clip) as footage:
        assert stubbed.video(footage).lips.shape == (75, 144, 144, 3)
        monkeypatch.setattr(registry, "MAX_WHOLE_BYTES", 10_000_000)
        with pytest.raises(BadInput, match="needs all 75 pictures at once"):
            stubbed.video(footage)


def test_stills_are_those_of_a_build_and_never_too_many() -> None:
    assert spread(75, 5, 60).tolist() == list(range(0, 75, 5))
    assert spread(3, 5, 60).tolist() == [0]
    many = spread(15_000, 5, 60)
    assert (len(many), many[0], many[-1]) == (60, 0, 14_995)
    assert (many % 5 == 0).all()
    assert np.ptp(np.diff(many)) <= 5


def test_small_crops_of_large_pictures_do_not_alias() -> None:
    y, x = np.mgrid[:1000, :1200]
    checks = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, -1)
    slope = np.stack([x / 5, y / 5, (x + y) / 10], -1).astype(np.uint8)
    matrix = np.array([[0.1, 0.02, 3.0], [-0.02, 0.1, 25.0]])
    assert warped(checks, matrix)[30:90, 30:90].std() > 30
    assert crops.cut(checks, matrix, 120)[30:90, 30:90].std() < 3
    inside = np.s_[35:95, 25:100]
    plain, shrunk = warped(slope, matrix)[inside], crops.cut(slope, matrix, 120)[inside]
    assert np.abs(plain.astype(int) - shrunk).max() <= 2  # not shifted: a pixel is 2 here
    larger = matrix * 5
    np.testing.assert_array_equal(warped(slope, larger), crops.cut(slope, larger, 120))


def warped(picture: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The crop straight from the picture's own pixels."""
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(picture, matrix, (120, 120), flags=flags, borderMode=border))


def test_crops_are_known_by_their_geometry() -> None:
    spec = CropSpec()
    assert takes_crops("", spec)
    assert takes_crops(spec.fingerprint(), spec)
    assert takes_crops(replace(spec, lips_codec="h264-crf18").fingerprint(), spec)
    assert not takes_crops(replace(spec, lips_px=96).fingerprint(), spec)
    assert not takes_crops("0123456789abcdef", spec)
