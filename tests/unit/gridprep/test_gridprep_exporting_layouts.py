"""Every layout read back by the reader that it is for, or by its documented format where that reader
is not installed: sentences, times and counts come back equal."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from builds import gridprep
from gridprep_handmade_build import CLIPS, RATE_HZ, Said, write_build

from gridprep.exporting.registry import LAYOUTS
from manifests.manifest import Manifest
from manifests.records import POINT_NAMES


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_build(tmp_path_factory.mktemp("handmade") / "features")


def exported(build: Path, layout: str, out: Path, *options: str) -> Path:
    code, said, errors = gridprep("export", build, "--layout", layout, "--out", out, *options)
    assert code == 0, errors
    assert f"{len(CLIPS)} clips of 4 speakers" in said
    assert json.loads((out / "export.json").read_text())["layout"] == layout
    return out


def lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text.splitlines()


def of(subset: str) -> list[Said]:
    return [clip for clip in CLIPS if clip.subset == subset]


# --- kaldi ---------------------------------------------------------------------------------------


def kaldi_directory(folder: Path) -> dict[str, dict[str, str]]:
    """A data directory under the rules of Kaldi's `utils/validate_data_dir.sh`: lists sorted by bytes,
    one line an utterance, the same utterances in each, speakers that begin their utterances."""
    tables = {}
    for file in sorted(folder.iterdir()):
        table = dict(line.split(" ", 1) for line in lines(file))
        if file.name != "ctm":
            assert len(table) == len(lines(file)), file
        keys = [line.split(" ", 1)[0].encode() for line in lines(file)]
        assert keys == sorted(keys), file
        tables[file.name] = table
    utterances = set(tables["utt2spk"])
    for name in ("wav.scp", "utt2dur", "text"):
        assert set(tables.get(name, utterances)) == utterances
    for utterance, speaker in tables["utt2spk"].items():
        assert utterance.startswith(speaker)
        assert utterance in tables["spk2utt"][speaker].split()
    assert sum(len(value.split()) for value in tables["spk2utt"].values()) == len(utterances)
    if "spk2gender" in tables:
        assert set(tables["spk2gender"]) == set(tables["spk2utt"])
        assert set(tables["spk2gender"].values()) <= {"m", "f"}
    return tables


def test_kaldi_directories_are_valid(build: Path, tmp_path: Path) -> None:
    out = exported(build, "kaldi", tmp_path / "kaldi")
    train = kaldi_directory(out / "train")
    assert train["text"] == {
        "s10-bbaf2n": "bin blue",
        "s2-lgal8n": "lay green",
        "Zoë-take.1": 'say "hello" again',
    }
    assert train["spk2gender"] == {"s10": "m", "s2": "f", "Zoë": "f"}
    assert train["utt2dur"]["Zoë-take.1"] == "1.2"
    assert [line for line in lines(out / "train" / "ctm") if line.startswith("s10")] == [
        "s10-bbaf2n 1 0.5 0.2 bin",
        "s10-bbaf2n 1 0.7 0.32 blue",
    ]
    silent = kaldi_directory(out / "train_untranscribed")
    assert set(silent["wav.scp"]) == {"nobody-mumble"}
    assert "text" not in silent
    assert "spk2gender" not in silent
    assert kaldi_directory(out / "val")["text"] == {"Zoë-take.2": "été"}
    for subset in ("train", "val", "test", "train_untranscribed"):
        for path in kaldi_directory(out / subset)["wav.scp"].values():
            assert Path(path).is_absolute()
            assert soundfile.info(path).samplerate == RATE_HZ


# --- textgrid ------------------------------------------------------------------------------------


def test_textgrids_open_in_praatio(build: Path, tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    out = exported(build, "textgrid", tmp_path / "grids")
    for clip in CLIPS:
        grid = textgrid.openTextgrid(
            str(out / clip.speaker / f"{clip.stem}.TextGrid"), includeEmptyIntervals=True
        )
        assert grid.maxTimestamp == pytest.approx(clip.frames / 25)
        (whole,) = grid.getTier("sentence").entries
        assert whole.label == clip.sentence
        assert grid.tierNames == (("words", "sentence") if clip.words else ("sentence",))
        if clip.words:
            entries = grid.getTier("words").entries
            spoken = [(e.label, e.start, e.end) for e in entries if e.label]
            assert spoken == [pytest.approx(word) for word in clip.words]
            assert entries[0].start == 0
            assert entries[-1].end == pytest.approx(clip.frames / 25)
        sound = soundfile.info(out / clip.speaker / f"{clip.stem}.wav")
        assert sound.frames == clip.frames * 640


# --- lhotse --------------------------------------------------------------------------------------


def test_lhotse_reads_recordings_supervisions_and_cuts(build: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    out = exported(build, "lhotse", tmp_path / "lhotse", "--name", "hand")
    for subset in ("train", "val", "test"):
        recordings, supervisions, cuts = (
            lhotse.load_manifest(out / f"hand_{what}_{subset}.jsonl.gz")
            for what in ("recordings", "supervisions", "cuts")
        )
        lhotse.validate_recordings_and_supervisions(recordings, supervisions)
        lhotse.validate(cuts)
        assert len(recordings) == len(supervisions) == len(cuts) == len(of(subset))
        for clip in of(subset):
            name = f"{clip.speaker}_{clip.stem}"
            recording, said, cut = recordings[name], supervisions[name], cuts[name]
            with lhotse.audio_backend("LibsndfileBackend"):  # the others want torchaudio
                assert recording.load_audio().shape == (1, clip.frames * 640)
                assert np.array_equal(cut.load_audio(), recording.load_audio())
            assert cut.video.num_frames == clip.frames
            assert (cut.video.height, cut.video.width) == (144, 144)
            (video,) = [source for source in cut.recording.sources if source.has_video]
            assert len(gray_frames(Path(video.source))) == clip.frames
            assert (said.text, said.speaker, said.gender or "") == (
                clip.sentence,
                clip.speaker,
                clip.gender,
            )
            words = (said.alignment or {}).get("word", [])
            assert [(w.symbol, w.start, w.end) for w in words] == [
                pytest.approx(word) for word in clip.words
            ]
            assert cut.duration == clip.frames / 25
            assert cut.has_video
            assert cut.supervisions[0] == said


# --- webdataset ----------------------------------------------------------------------------------


def test_webdataset_reads_the_shards(build: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    out = exported(build, "webdataset", tmp_path / "wds", "--option", "clips_per_shard=3")
    index = json.loads((out / "train.json").read_text())
    assert index["__kind__"] == "wids-shard-index-v1"
    assert [shard["nsamples"] for shard in index["shardlist"]] == [3, 1]
    found = {}
    for shard in index["shardlist"]:
        assert (out / shard["url"]).stat().st_size == shard["filesize"]
        for sample in webdataset.WebDataset(str(out / shard["url"]), shardshuffle=False):
            found[sample["__key__"]] = sample
    assert list(found) == ["s10-bbaf2n", "s2-lgal8n", "Zoë-take_1", "nobody-mumble"]
    for clip, sample in zip(of("train"), found.values(), strict=True):
        values = json.loads(sample["json"])
        assert values["sentence"] == clip.sentence
        assert [(w["word"], w["start_s"], w["end_s"]) for w in values["words"]] == list(clip.words)
        sound, rate_hz = soundfile.read(io.BytesIO(sample["wav"]))
        assert (len(sound), rate_hz) == (clip.frames * 640, RATE_HZ)
        assert np.load(io.BytesIO(sample["mel.npy"])).shape == (80, 2 * clip.frames)
        stored = build / "lips" / clip.speaker / f"{clip.stem}.avi"
        assert sample["lips.avi"] == stored.read_bytes()


def test_shards_are_the_same_bytes_again(build: Path, tmp_path: Path) -> None:
    one, two = (exported(build, "webdataset", tmp_path / name, "--name", "a") for name in "ab")
    assert (one / "train-000000.tar").read_bytes() == (two / "train-000000.tar").read_bytes()
    with tarfile.open(one / "train-000000.tar") as shard:
        assert {(m.mtime, m.uid, m.uname) for m in shard} == {(0, 0, "")}


def test_shards_take_long_names_and_sources_that_are_not_utf_8(tmp_path: Path) -> None:
    long = "x" * 91 + "_01234567"
    build = write_build(
        tmp_path / "features", tuple(Said(long, f"{long}{n}", "train") for n in "ab")
    )
    text = (build / "manifest.jsonl").read_text().replace('a.mp4"', '\\udcff.mp4"')
    (build / "manifest.jsonl").write_text(text)
    out = tmp_path / "wds"
    code, _, errors = gridprep("export", build, "--layout", "webdataset", "--out", out)
    assert code == 0, errors
    with tarfile.open(out / "train-000000.tar") as shard:
        keys = [member.name.partition(".")[0] for member in shard]
        assert all(member.type == tarfile.REGTYPE for member in shard)
    assert len(set(keys)) == 2
    assert max(map(len, keys)) <= 80
    found = {clip.clip_id: clip.source_path for clip in Manifest(out)}
    assert found == {clip.clip_id: clip.source_path for clip in Manifest(build)}
    assert sum("\udcff" in path for path in found.values()) == 1


# --- auto-avsr -----------------------------------------------------------------------------------


def gray_frames(path: Path) -> np.ndarray:
    """A video as AV-HuBERT's `load_video` reads it: OpenCV, gray."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    capture.release()
    return np.stack(frames)


def check_gray_lips(build: Path, clip: Said, path: Path) -> None:
    """The exported video shows the stored lips, gray and shrunk, frame by frame."""
    row = Manifest(build).where(stem=clip.stem)[0]
    found = gray_frames(path)
    assert found.shape == (clip.frames, 96, 96)
    for frame, lips in zip(found, row.lips(), strict=True):
        gray = cv2.cvtColor(cv2.resize(lips, (96, 96), interpolation=cv2.INTER_AREA), 7)  # RGB2GRAY
        assert np.abs(frame.astype(int) - gray).mean() < 2.5


def test_auto_avsr_list_is_what_its_loader_splits(build: Path, tmp_path: Path) -> None:
    out = exported(build, "auto-avsr", tmp_path / "avsr", "--name", "hand")
    listed = lines(out / "labels" / "hand_train_transcript_lengths_seg24s.csv")
    assert len(listed) == len(of("train"))
    for clip, line in zip(of("train"), listed, strict=True):
        dataset, path, frames, tokens = line.split(",")  # AVDataset.load_list
        assert (dataset, int(frames), tokens) == ("hand", clip.frames, "")
        video = out / dataset / path
        check_gray_lips(build, clip, video)
        assert soundfile.info(str(video)[:-4] + ".wav").frames == clip.frames * 640
        text = Path(str(video).replace("_video_", "_text_")[:-4] + ".txt")
        assert text.read_text(encoding="utf-8") == clip.sentence.upper()


def test_auto_avsr_token_ids_are_those_of_its_model(build: Path, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    spm = tmp_path / "unigram"
    spm.mkdir()
    text = [f"{a} {b}" for a in ("BIN", "LAY", "PLACE") for b in ("BLUE", "GREEN", "WHITE", "RED")]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(spm / "unigram5000"),
        vocab_size=20,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(spm / "unigram5000.model"))
    units = [pieces.id_to_piece(i) for i in range(3, len(pieces))]
    (spm / "unigram5000_units.txt").write_text(
        "".join(f"{piece} {number}\n" for number, piece in enumerate(["<unk>", *units], 1))
    )
    out = exported(build, "auto-avsr", tmp_path / "avsr", "--option", f"spm={spm}")
    (file,) = (out / "labels").glob("*_test_*.csv")
    (line,) = lines(file)
    tokens = [int(token) for token in line.split(",")[3].split()]
    assert "".join(["", "<unk>", *units][i] for i in tokens).replace("▁", " ") == " PLACE WHITE"


# --- av-hubert -----------------------------------------------------------------------------------


def test_av_hubert_lists_are_what_its_loader_reads(build: Path, tmp_path: Path) -> None:
    out = exported(build, "av-hubert", tmp_path / "avh", "--name", "hand")
    for part, subset in (("train", "train"), ("valid", "val"), ("test", "test")):
        # load_audio_visual of avhubert/hubert_dataset.py.
        root, *listed = lines(out / "hand_data" / f"{part}.tsv")
        labels = (out / "hand_data" / f"{part}.wrd").read_text(encoding="utf-8").split("\n")[:-1]
        assert root == "/"
        assert labels == [clip.sentence for clip in of(subset)]
        for clip, line in zip(of(subset), listed, strict=True):
            name, video, audio, n_frames, n_samples = line.strip().split("\t")
            assert name.startswith("test/" if subset == "test" else "trainval/")
            assert (int(n_frames), int(n_samples)) == (clip.frames, clip.frames * 640)
            check_gray_lips(build, clip, Path(root) / video)
            assert soundfile.info(audio).frames == clip.frames * 640
    # lrs3_manifest.py, which makes the vocabulary, reads these.
    counts = {name: len(lines(out / name)) for name in ("file.list", "nframes.audio")}
    assert counts == {"file.list": len(CLIPS), "nframes.audio": len(CLIPS)}
    assert lines(out / "valid.id") == ["trainval/Zoë/take.2"]


# --- hf ------------------------------------------------------------------------------------------


def check_hf(clip: Said, values: dict[str, Any]) -> None:
    assert values["id"] == f"{clip.speaker}-{clip.stem}"
    assert (values["text"], values["gender"] or "") == (clip.sentence, clip.gender)
    words = [(w["word"], w["start_s"], w["end_s"]) for w in values["words"]]
    assert words == list(clip.words)
    sound, rate_hz = soundfile.read(io.BytesIO(values["audio"]["bytes"]))
    assert (len(sound), rate_hz) == (clip.frames * 640, RATE_HZ)
    assert values["duration_s"] == clip.frames / 25


def test_parquet_opens_without_us(build: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = exported(build, "hf", tmp_path / "hf", "--option", "clips_per_shard=3")
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "validation-00000-of-00001.parquet",
    ]
    for split, subset in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = [
            values
            for path in sorted((out / "data").glob(f"{split}-*"))
            for values in parquet.read_table(path).to_pylist()
        ]
        for clip, values in zip(of(subset), found, strict=True):
            check_hf(clip, values)
            stored = build / "lips" / clip.speaker / f"{clip.stem}.avi"
            assert values["lips"] == stored.read_bytes()


def test_datasets_loads_the_folder(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    out = exported(build, "hf", tmp_path / "hf")
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation", "test"}
    assert loaded["train"].features["audio"] == datasets.Audio(RATE_HZ)
    for split, subset in (("train", "train"), ("validation", "val"), ("test", "test")):
        raw = loaded[split].cast_column("audio", datasets.Audio(decode=False))
        for clip, values in zip(of(subset), raw, strict=True):
            check_hf(clip, values)


# --- lip2wav and vca-gan -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build with a face still of every frame."""
    return write_build(tmp_path_factory.mktemp("faces") / "features", face_every=1)


@pytest.mark.parametrize("layout", ["lip2wav", "vca-gan"])
def test_a_build_with_few_faces_is_refused(build: Path, tmp_path: Path, layout: str) -> None:
    code, _, errors = gridprep("export", build, "--layout", layout, "--out", tmp_path / "out")
    assert code == 2
    assert "a face still of every 5th frame" in errors
    assert errors.rstrip().endswith("build with --face-every 1")


def test_lip2wav_folders_are_what_its_feeder_reads(faces: Path, tmp_path: Path) -> None:
    out = exported(faces, "lip2wav", tmp_path / "l2w")
    for subset in ("train", "val", "test"):
        listed = lines(out / f"{subset}.txt")
        for clip, name in zip(of(subset), listed, strict=True):
            images = sorted(out.glob(f"preprocessed/{name}/*/*.jpg"))  # get_image_list
            numbers = sorted(int(image.name.split(".")[0]) for image in images)  # get_frame_id
            assert numbers == list(range(clip.frames))
            folder = images[0].parent
            spec = np.load(folder / "mels.npz")["spec"].T  # Feeder.getitem
            # crop_audio_window places a window of frames by this count.
            assert int(spec.shape[0] * 200 * 25 / 16_000) == clip.frames
            assert spec.shape[1] == 80
            assert np.abs(spec).max() <= 4
            stored = Manifest(faces).where(stem=clip.stem)[0].faces()
            shown = cv2.imread(str(folder / "3.jpg"))[..., ::-1]
            assert np.abs(shown.astype(int) - stored[3]).mean() < 3
            assert soundfile.info(folder / "audio.wav").frames == clip.frames * 640


def test_vca_gan_files_are_what_its_loader_reads(faces: Path, tmp_path: Path) -> None:
    out = exported(faces, "vca-gan", tmp_path / "vca")
    listed = [line.split("/") for line in lines(out / "unseen_splits.txt")]
    assert [subset for subset, _, _ in listed] == [clip.subset for clip in CLIPS]
    for clip, (_, speaker, stem) in zip(CLIPS, listed, strict=True):
        path = out / speaker / "video" / f"{stem}.mp4"
        assert gray_frames(path).shape == (clip.frames, 256, 256)
        sound, rate_hz = soundfile.read(str(path).replace("video", "audio")[:-4] + ".flac")
        assert (len(sound), rate_hz) == (clip.frames * 640, RATE_HZ)


def test_vca_gan_pictures_have_the_face_where_the_loader_cuts_it() -> None:
    """The mouth of our mean face lands where the original's reference has it: within four pixels, in
    the middle of the loader's crop; and the crop lies inside the still, but for its lowest rows."""
    from gridprep.exporting.vca_gan import still_to_picture
    from gridprep.features.crops import FACE_BOX_384, mean_face

    matrix = still_to_picture(160)
    center_x, center_y, box = FACE_BOX_384
    points = (mean_face().points_px - (center_x, center_y)) * 160 / box + 80
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    named = dict(zip(POINT_NAMES, moved, strict=True))
    mouth = (named["mouth_right"] + named["mouth_left"]) / 2
    assert mouth == pytest.approx((128.5, 157.5), abs=4)
    for eye, x, y in (("right_eye_outer", 88, 97), ("left_eye_outer", 169, 99)):
        assert named[eye] == pytest.approx((x, y), abs=4)
    left, top, right, bottom = 59, 95, 195, 231  # what the original's loader keeps
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(mouth, abs=7)
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[left, top], [right, bottom]]) - matrix[:, 2]) @ inverse.T
    assert corners.min() >= 0
    assert corners[1, 0] <= 160
    assert corners[1, 1] <= 160 + 0.065 * (corners[1, 1] - corners[0, 1])


# --- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_counts_its_clips(faces: Path, tmp_path: Path, layout: str) -> None:
    """One subset alone leaves the others out, whatever the layout."""
    if LAYOUTS[layout].library:
        pytest.importorskip(LAYOUTS[layout].library)
    code, said, _ = gridprep(
        "export", faces, "--layout", layout, "--out", tmp_path / "out", "--subset", "test"
    )
    assert code == 0
    assert "1 clips of 1 speakers" in said
    names = "".join(path.name for path in (tmp_path / "out").rglob("*"))
    assert "bbaf2n" not in names
    packed = [*(tmp_path / "out").glob("*.gz")]
    for path in packed:
        assert "bbaf2n" not in gzip.decompress(path.read_bytes()).decode()
