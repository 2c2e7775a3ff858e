"""Embeddings: what the numbers say of worlds whose answer is known, the figure, and bad files."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import silhouette_score

from evaluation.cli import cli
from evaluation.embeddings import report as embedding_report
from evaluation.embeddings.figure import mark, tree, tsne
from evaluation.embeddings.measures import (
    check_same_clips,
    measure,
    measure_groups,
    read_embeddings,
)
from evaluation.embeddings.sets import read_sets
from manifests.errors import BadInput

Make = Callable[..., Path]
SPEAKERS, CLIPS = 6, 5


@pytest.fixture
def make_file(tmp_path: Path) -> Make:
    """Six speakers with five clips; `spread` of the clips, `link` of face and voice, `change` at will."""

    def make(name: str = "e", *, spread: float = 0.05, link: float = 1.0, **change: Any) -> Path:
        rng = np.random.default_rng(7)
        index = np.repeat(np.arange(SPEAKERS), CLIPS)
        voice, look = rng.standard_normal((2, SPEAKERS, 16))
        face = (link * voice + (1 - link) * look)[index]
        face = face + spread * rng.standard_normal(face.shape)
        arrays: dict[str, Any] = {
            "face": face.astype(np.float32),
            "prosody": (voice[index] + 0.05 * rng.standard_normal(face.shape)).astype(np.float32),
            "speaker": np.array([f"s{k + 8}" for k in index]),
            "stem": np.array([f"bbaf{k}n" for k in range(len(index))]),
            "gender": np.where(index % 2, "male", "female"),
            "subset": np.full(len(index), "test"),
            "seen": index > 1,
            "info": np.array(json.dumps({"loss_cs": 1.0})),
        }
        arrays.update(change)
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return make


def test_speakers_that_lie_together(make_file: Make) -> None:
    found = measure(read_embeddings(make_file()))
    assert (found.n_clips, found.n_speakers) == (30, 6)
    assert found.knn == 1.0
    assert found.knn_chance == pytest.approx(1 / 6)
    assert found.silhouette is not None
    assert found.silhouette > 0.9
    assert found.margin is not None
    assert found.margin > 0.5
    assert (found.rank, found.top1) == (1.0, 1.0)
    assert (found.rank_chance, found.top1_chance) == (3.5, pytest.approx(1 / 6))


def test_embeddings_that_know_nothing_score_as_chance(make_file: Make) -> None:
    rng = np.random.default_rng(0)
    n = SPEAKERS * 60
    path = make_file(
        face=rng.standard_normal((n, 16)).astype(np.float32),
        prosody=rng.standard_normal((n, 16)).astype(np.float32),
        speaker=np.repeat([f"s{k}" for k in range(SPEAKERS)], 60),
        stem=np.array([f"c{k}" for k in range(n)]),
        gender=None, subset=None, seen=None,
    )  # fmt: skip
    found = measure(read_embeddings(path))
    assert found.silhouette == pytest.approx(0, abs=0.06)
    assert found.knn == pytest.approx(found.knn_chance, abs=0.07)
    assert found.margin == pytest.approx(0, abs=0.02)
    assert found.rank == pytest.approx(found.rank_chance, abs=0.35)
    assert found.top1 == pytest.approx(found.top1_chance, abs=0.07)


def test_one_point_is_a_margin_of_zero(make_file: Make) -> None:
    found = measure(read_embeddings(make_file(face=np.ones((30, 16), np.float32))))
    assert found.margin == pytest.approx(0, abs=1e-9)
    assert found.silhouette == pytest.approx(0, abs=1e-6)
    assert found.top1 == pytest.approx(1 / 6, abs=0.1), "faces that are all alike know no voice"


def test_clusters_without_the_voices_directions(make_file: Make) -> None:
    """What Figure 2 cannot show: tight clusters that lie anywhere."""
    found = measure(read_embeddings(make_file(link=0.0)))
    assert found.knn == 1.0
    assert found.rank is not None
    assert found.rank > 2


def test_silhouette_is_scikit_learns(make_file: Make) -> None:
    embeddings = read_embeddings(make_file(spread=1.0))
    expected = silhouette_score(embeddings.face, embeddings.speaker, metric="cosine")
    assert measure(embeddings).silhouette == pytest.approx(expected, abs=1e-9)


def test_clips_do_not_vote_for_themselves(make_file: Make) -> None:
    """Two stills of each clip, everything else random: copies would win every vote."""
    rng = np.random.default_rng(3)
    once = rng.standard_normal((60, 8)).astype(np.float32)
    path = make_file(
        face=np.repeat(once, 2, axis=0), prosody=None, seen=None, gender=None, subset=None,
        speaker=np.repeat([f"s{k}" for k in range(6)], 20),
        stem=np.repeat([f"c{k}" for k in range(60)], 2),
    )  # fmt: skip
    found = measure(read_embeddings(path))
    assert found.knn is not None
    assert found.knn < 0.45


def test_groups_compare_among_themselves(make_file: Make) -> None:
    found = measure_groups(read_embeddings(make_file()))
    assert set(found) == {(k, g) for k in ("face", "prosody") for g in ("all", "seen", "unseen")}
    assert found["face", "unseen"].n_speakers == 2
    assert found["face", "unseen"].rank_chance == 1.5
    assert found["prosody", "all"].rank is None
    everyone = read_embeddings(make_file("s", seen=np.ones(30, np.bool_)))
    assert {group for _, group in measure_groups(everyone)} == {"all"}


def test_thinned_keeps_every_speaker(make_file: Make) -> None:
    embeddings = read_embeddings(make_file())
    few = embeddings.thinned(12)
    assert len(few) == 12
    assert few.speakers == embeddings.speakers == ["s8", "s9", "s10", "s11", "s12", "s13"]
    assert len(embeddings.thinned(30)) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"face": None}, "lacks face"),
        ({"speaker": None, "stem": None}, "lacks speaker, stem"),
        ({"face": np.ones((3, 16), np.float32)}, "for 3 clips"),
        ({"face": np.full((30, 16), np.nan, np.float32)}, "NaN"),
        ({"face": np.zeros((30, 16), np.float32)}, "zeros"),
        ({"face": np.ones((30, 16), np.int64)}, "int64"),
        ({"seen": np.ones(4, np.bool_)}, "seen is"),
        ({"info": np.array("{")}, "no JSON"),
        ({"speaker": np.array([object()] * 30)}, "cannot be read (Object arrays"),
    ],
)
def test_bad_files(make_file: Make, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=r"e\.npz") as caught:
        read_embeddings(make_file(**change))
    assert message in str(caught.value)


def test_no_file_and_other_clips(make_file: Make, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not at all")
    for name in ("text.npz", "absent.npz"):
        with pytest.raises(BadInput, match=name):
            read_embeddings(tmp_path / name)
    first = read_embeddings(make_file())
    other = read_embeddings(make_file("o", stem=np.array([f"c{k}" for k in range(30)])))
    with pytest.raises(BadInput, match="embed the same clips"):
        check_same_clips(first, other)


def test_tsne_is_seeded_and_needs_few_points() -> None:
    vectors = np.random.default_rng(0).standard_normal((20, 8))
    assert np.array_equal(tsne(vectors), tsne(vectors))
    assert tsne(vectors).shape == (20, 2)
    for n in (1, 2, 3, 4):
        assert np.isfinite(tsne(vectors[:n])).all()
    assert np.isfinite(tsne(np.ones((9, 8)))).all()


def test_marks_and_lines() -> None:
    assert len({mark(k) for k in range(132)}) == 132
    line = np.array([[0.0, 0], [2, 0], [1, 0], [9, 0]])
    assert {frozenset(edge) for edge in tree(line)} == {
        frozenset(e) for e in ((0, 2), (1, 2), (1, 3))
    }
    assert tree(np.zeros((1, 2))) == []
    assert len(tree(np.zeros((3, 2)))) == 2


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_command(make_file: Make, tmp_path: Path) -> None:
    other = make_file("without", link=0.0, info=np.array('{"loss_cs": 1.0}'))
    out = tmp_path / "out"
    result = invoke("embeddings", make_file("with"), other, "--out", out)
    assert result.exception is None
    assert "without CS loss, but was trained with a weight of 1" in result.output
    values = json.loads((out / "embeddings.json").read_text())
    assert [s["title"] for s in values["sets"]] == ["with CS loss", "without CS loss"]
    ranks = [s["measures"][0]["rank"] for s in values["sets"]]
    assert ranks[0] == 1.0
    assert ranks[1] > 2
    points = list(csv.DictReader((out / "points.csv").open()))
    assert len(points) == 2 * 30 + 2 * 60
    assert {p["kind"] for p in points} == {"face", "prosody"}
    assert {p["seen"] for p in points if p["speaker"] == "s8"} == {"0"}
    assert "| with CS loss | face | unseen | 10 | 2 |" in (out / "embeddings.md").read_text()
    svg = (out / "embeddings.svg").read_text()
    assert "<script" not in svg
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert invoke("embeddings", make_file("with"), other, "--out", out).exception is None
    assert before == {p.name: p.read_bytes() for p in out.iterdir()}, "the same bytes again"


def test_hostile_names_and_no_prosody(make_file: Make, tmp_path: Path) -> None:
    names = np.repeat(["=1+1", "<b>$x$", "_a", "s 4", "é", "|"], 5)
    path = make_file("h", speaker=names, prosody=None, info=None)
    out = tmp_path / "out"
    assert invoke("embeddings", path, "--out", out).exception is None
    first = next(csv.DictReader((out / "points.csv").open()))
    assert first["speaker"] == "'=1+1"
    assert "<b>" not in (out / "embeddings.svg").read_text()


def test_figure_in_the_report(
    make_file: Make, tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run, out = make_run(tmp_path / "run", name="Model"), tmp_path / "out"
    hostile = np.repeat(["<i>1", "s2", "s3", "s4", "s5", "s6"], 5)
    files = [make_file("with", speaker=hostile), make_file("without", speaker=hostile, link=0.0)]
    options = [part for path in files for part in ("--embeddings", path)]
    common = ("report", run, "--metrics", "stoi", "--format", "html", "--jobs", 0, "--out", out)
    assert invoke(*common, *options).exception is None
    page = (out / "report.html").read_text()
    section = page.split('<section id="embeddings"')[1].split("</section>")[0]
    picture = section.split('src="data:image/svg+xml;base64,')[1].split('"')[0]
    assert base64.b64decode(picture).startswith(b"<?xml")
    assert section.count("<tr>") == 1 + len(embedding_report.rows(read_sets(files)))
    assert "<i>" not in section
    assert 'href="#embeddings"' in page
    before = page
    assert invoke(*common, *options).exception is None
    assert (out / "report.html").read_text() == before
    assert invoke(*common).exception is None
    assert '<section id="embeddings"' not in (out / "report.html").read_text()
    with pytest.raises(BadInput, match="3 files of embeddings"):
        read_sets([*files, files[0]])
