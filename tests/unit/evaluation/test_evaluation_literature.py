"""Published systems: recipes, a clone from a local repository, runs, and orders of systems."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.literature.agreement import agreements
from evaluation.literature.recipes import recipe, recipes
from evaluation.literature.samples import fetch, fetched, make_runs
from evaluation.literature.tables import (
    Published,
    judged,
    literature,
    orders,
    read_runs,
    with_listeners,
)
from evaluation.metrics.base import select
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, ToolkitError

Make = Callable[..., NDArray[np.float64]]


@pytest.fixture
def repository(tmp_path: Path, make_sound: Make) -> Path:
    """A local git repository laid out as the authors' one."""
    root = tmp_path / "authors"
    folder = root / "audio-samples/speaker-dependent/s1_bbbf7s"
    folder.mkdir(parents=True)
    for i, name in enumerate(("ground_truth", "lip2wav", "ours_griffin_lim", "ours_wavenet")):
        soundfile.write(folder / f"{name}.wav", make_sound(i, 1.0), 16_000)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for line in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "samples"]):
        subprocess.run(["git", *line], cwd=root, check=True, capture_output=True)
    return root


def test_recipes_say_how_their_place_is_known() -> None:
    for found in recipes().values():
        assert found.title
        assert found.license
        assert found.verified
        assert bool(found.systems) == bool(found.git or found.links), "files are known by a place"
        assert len({system.name for system in found.systems}) == len(found.systems)
        known = {system.name for system in found.systems}
        for test in found.listening:
            assert set(test.opinions) <= known
            assert test.source
        for number in (n for system in found.systems for n in system.printed):
            assert number.value
            assert number.source in number.origin
    with pytest.raises(BadInput, match="no published system 'Lipvoice'"):
        recipe("Lipvoice")


def test_fetch_and_runs_of_a_local_repository(tmp_path: Path, repository: Path) -> None:
    found = recipe("visual-voice-memory")
    folder = fetch(found, tmp_path / "published", git=str(repository))
    assert folder == fetch(found, tmp_path / "published", git="/nowhere"), "it is there already"
    roots = make_runs(found, folder, tmp_path / "runs")
    assert roots[2].name == "visual-voice-memory-wavenet"
    runs = [read_run(root) for root in roots]
    assert [run.info.name for run in runs] == [system.name for system in found.systems]
    for run in runs:
        (clip,) = run.clips
        assert (clip.speaker, clip.stem) == ("s1", "bbbf7s")
        assert clip.sentence == "bin blue by f seven soon"
        reference = run.reference(clip)
        assert reference is not None
        assert reference.is_file()


def test_only_the_samples_are_checked_out(tmp_path: Path, repository: Path) -> None:
    film = repository / "films" / "long.mp4"
    film.parent.mkdir()
    film.write_bytes(bytes(1000))
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for line in (["add", "."], [*who, "commit", "-qm", "a film"]):
        subprocess.run(["git", *line], cwd=repository, check=True, capture_output=True)
    folder = fetch(recipe("visual-voice-memory"), tmp_path / "published", git=str(repository))
    there = {path.name for path in (tmp_path / "published/visual-voice-memory").iterdir()}
    assert there == {".git", "audio-samples"}
    assert len(list(folder.glob("*/*.wav"))) == 4
    with pytest.raises(BadInput, match="has no folder"):
        fetch(recipe("robustl2s"), tmp_path / "published", git=str(repository))


def test_what_cannot_be_fetched_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="in no known repository"):
        fetch(recipe("lip2wav"), tmp_path)
    with pytest.raises(ToolkitError, match="could not be cloned"):
        fetch(recipe("visual-voice-memory"), tmp_path / "o", git=str(tmp_path / "absent"))
    assert not list((tmp_path / "o").iterdir()), "nothing half is left"
    with pytest.raises(BadInput, match="names of its files are not known"):
        make_runs(recipe("v2c"), tmp_path, tmp_path / "runs")


@pytest.fixture
def served(tmp_path: Path, make_sound: Make) -> Iterator[str]:
    """A page with two samples of each of two systems, as XTS's own."""
    root = tmp_path / "site"
    links = ["https://example.org/x.css", "data/audio/ours-baseline/s3/../../../../secret.wav"]
    for i, (method, name) in enumerate(
        product(("ours-baseline", "theirs"), ("s3/bbaf2n", "s5/lwbs9a"))
    ):
        links.append(f"data/audio/{method}/{name}.wav")
        (root / links[-1]).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / links[-1], make_sound(i, 1.0), 16_000)
    body = "".join(f'<audio src="{link}"></audio>' for link in links)
    (root / "index.html").write_text(f'<html><video src="data/video/s3/bbaf2n.webm"></video>{body}')
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_samples_of_a_page_are_loaded(tmp_path: Path, served: str) -> None:
    found = recipe("xts")
    folder = fetch(found, tmp_path / "published", page=served)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.wav")} == {
        f"{method}/{name}.wav"
        for method, name in product(("ours-baseline", "theirs"), ("s3/bbaf2n", "s5/lwbs9a"))
    }, "nothing else, and nothing outside the folder"
    ours, theirs = map(read_run, make_runs(found, folder, tmp_path / "runs"))
    assert [clip.label for clip in ours.clips] == ["s3/bbaf2n", "s5/lwbs9a"]
    assert theirs.info.name == "GAN-based (Vougioukas et al.)"
    assert ours.reference(ours.clips[0]) is None


def test_a_page_without_samples_says_so(tmp_path: Path, served: str) -> None:
    changed = replace(recipe("xts"), links=r"sounds/\w+\.wav")
    with pytest.raises(BadInput, match="links to no sample"):
        fetch(changed, tmp_path / "published", page=served)
    with pytest.raises(ToolkitError, match="could not be loaded"):
        fetch(recipe("xts"), tmp_path / "published", page=f"{served}absent/")
    assert not list((tmp_path / "published").iterdir())


def test_clips_that_name_no_sentence_get_the_recipes(tmp_path: Path, make_sound: Make) -> None:
    found = recipe("emodubber")
    folder = tmp_path / "emodubber"
    for i, name in enumerate(("GT", *(system.pattern[7:-4] for system in found.systems))):
        path = folder / "GRID_3" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, make_sound(i, 1.0), 16_000, format="WAV")
    assert fetched(tmp_path) == {"emodubber": folder}
    for root in make_runs(found, folder, tmp_path / "runs"):
        (clip,) = read_run(root).clips
        assert (clip.speaker, clip.stem) == ("s8", "GRID_3")
        assert clip.sentence == "lay blue with d seven now"
    with pytest.raises(BadInput, match="holds no samples of a known publication"):
        fetched(tmp_path / "runs/emodubber")


def test_all_that_was_fetched_is_scored_and_printed(tmp_path: Path, make_sound: Make) -> None:
    folder = tmp_path / "published/visual-voice-memory"
    rng = np.random.default_rng(0)
    for i, clip in enumerate(("s1_bbbf7s", "s2_brwg8a", "s4_lgbf6s")):
        (folder / clip).mkdir(parents=True)
        clean = make_sound(i, 1.0)
        for level, name in enumerate(
            ("ground_truth", "ours_wavenet", "ours_griffin_lim", "lip2wav")
        ):
            noisy = clean + 0.02 * level * rng.standard_normal(len(clean))
            soundfile.write(folder / clip / f"{name}.wav", noisy, 16_000)
    (tmp_path / "heard.csv").write_text(
        "system,mos\nLip2Wav (Griffin-Lim),2.0\nVisual Voice Memory (Griffin-Lim),3.0\n"
        "Visual Voice Memory (WaveNet),4.0\n"
    )
    runs, out = str(tmp_path / "runs"), tmp_path / "out"
    how = ["--metrics", "stoi,level_dbfs", "--jobs", "0", "--recognizer", "none"]
    for arguments in (
        ["score", str(tmp_path / "published"), "--out", runs, *how],
        ["table", runs, "--out", str(out), "--listeners", str(tmp_path / "heard.csv"), *how],
    ):
        result = CliRunner().invoke(cli, ["literature", *arguments], standalone_mode=False)
        assert result.exit_code == 0, result.output
    lines = list(csv.DictReader((out / "literature.csv").open(encoding="utf-8")))
    means = {
        line["system"]: float(line["value"])
        for line in lines
        if (line["kind"], line["metric"]) == ("model", "stoi")
    }
    assert list(means) == [
        "Lip2Wav (Griffin-Lim)",
        "Visual Voice Memory (Griffin-Lim)",
        "Visual Voice Memory (WaveNet)",
    ]
    assert sorted(means.values()) == list(means.values()), "more noise, less STOI"
    printed = {(x["system"], x["metric"]): x for x in lines if x["kind"] == "printed"}
    number = printed["Visual Voice Memory (WaveNet)", "estoi"]
    assert (number["value"], number["quoted_by"]) == ("0.578", "")
    assert (
        printed["Lip2Wav (Griffin-Lim)", "stoi"]["quoted_by"] == "a public list of results on GRID"
    )
    text = (out / "literature.md").read_text()
    order = "WaveNet) &gt; Visual Voice Memory (Griffin-Lim) &gt; Lip2Wav (Griffin-Lim)"
    (line,) = [x for x in text.splitlines() if order in x]
    assert "own listeners" in line
    assert line.count("1.00 [1.00, 1.00]") == 2
    assert line.endswith("| 3 |")
    assert "level" not in line.casefold()
    page = (out / "literature.html").read_text()
    assert page.count("<table") == 5, "scores, files, printed, orders, sources"
    assert r"\begin{table*}" in (out / "literature.tex").read_text()


def test_a_clip_that_one_system_failed_on_orders_none(tmp_path: Path, make_sound: Make) -> None:
    """A system that fails on the hard clips is not ordered by the easy ones that remain."""
    folder = tmp_path / "published/visual-voice-memory-multi"
    rng = np.random.default_rng(0)
    for i, (clip, noise) in enumerate((("s1_bbbf7s", 0.05), ("s2_brwg8a", 1.0))):
        (folder / clip).mkdir(parents=True)
        clean = make_sound(i, 1.0)
        for name, more in (("ground_truth", 0.0), ("lip2wav", 0.3), ("ours", 0.4)):
            noisy = clean + more * noise * rng.standard_normal(len(clean))
            soundfile.write(folder / clip / f"{name}.wav", noisy, 16_000)
    found = recipe("visual-voice-memory-multi")
    soundfile.write(folder / "s2_brwg8a/ours.wav", np.zeros(16_000), 16_000)  # a failure
    make_runs(found, folder, tmp_path / "runs" / found.name)
    ((read, runs),) = read_runs(tmp_path / "runs")
    metrics, _ = select(("stoi",), read_settings(runs, recognizer="none"))
    scored = tuple(score_runs(runs, metrics))
    means = {
        item.run.info.name: np.mean([s.value for s in item.scores.values() if s.value is not None])
        for item in scored
    }
    lip2wav, ours = (system.name for system in found.systems)
    assert means[ours] > means[lip2wav], "each on its own clips"
    ((_, (agreement,)),) = judged(Published(read, scored, ()), metrics)
    assert agreement.order == (lip2wav, ours)


def test_correlations_need_three_systems(tmp_path: Path, make_sound: Make) -> None:
    folder = tmp_path / "published/visual-voice-memory-multi/s1_bbbf7s"
    folder.mkdir(parents=True)
    for i, name in enumerate(("ground_truth", "lip2wav", "ours")):
        soundfile.write(folder / f"{name}.wav", make_sound(i, 1.0), 16_000)
    found = recipe("visual-voice-memory-multi")
    make_runs(found, folder.parent, tmp_path / "runs" / found.name)
    ((read, runs),) = read_runs(tmp_path / "runs")
    metrics, _ = select(("stoi",), read_settings(runs, recognizer="none"))
    one = Published(read, tuple(score_runs(runs, metrics)), ())
    (one,) = with_listeners([one], {system.name: 3.0 for system in found.systems}, "mine.csv")
    report = literature([one], metrics, TableOptions())
    assert "Fewer than 3 systems have an opinion" in orders(report).caption
    assert [cell.text for cell in orders(report).rows[0][4:]] == ["–", "–", "–", "2"]
    with pytest.raises(BadInput, match="judges none of the systems"):
        with_listeners([one], {"Facetron": 4.0}, "mine.csv")
    with pytest.raises(BadInput, match="holds no runs of published systems"):
        read_runs(tmp_path / "published")


def test_intervals_of_correlations_come_from_redrawn_clips() -> None:
    columns = {"stoi": {"A": 0.5, "B": 0.6, "C": 0.7}}
    drawn = {
        "stoi": {
            "A": np.array([0.5, 0.5, 0.9, 0.6]),
            "B": np.array([0.6, 0.6, 0.8, 0.6]),
            "C": np.array([0.7, 0.7, 0.7, 0.6]),
        }
    }
    heard = {"A": 1.0, "B": 2.0, "C": 3.0}
    (found,) = agreements(columns, {"stoi": "higher"}, heard, drawn)
    assert found.kendall_interval == pytest.approx((-0.9, 1.0)), "one draw of three is upside down"
    assert found.p == pytest.approx(1 / 3), "one order of six agrees as much, one disagrees as much"
    (bare,) = agreements(columns, {"stoi": "higher"}, heard)
    assert bare.kendall_interval is None


def test_agreement_turns_errors_around_and_counts_systems() -> None:
    columns = {
        "stoi": {"A": 0.5, "B": 0.7, "C": 0.6, "D": 0.9},
        "wer": {"A": 30.0, "B": 10.0, "C": 20.0},
        "level_dbfs": {"A": 1.0, "B": 2.0, "C": 3.0},
    }
    directions = {"stoi": "higher", "wer": "lower", "level_dbfs": "none"}
    stoi, wer = agreements(columns, directions, {"A": 2.0, "B": 4.0, "C": 3.0})
    assert stoi.order == ("D", "B", "C", "A")
    assert (stoi.spearman, stoi.kendall, stoi.n) == (1, 1, 3)
    assert (wer.order, wer.spearman) == (("B", "C", "A"), 1)
    assert wer.written == "B > C > A"
    (even,) = agreements({"wer": {"A": 2.0, "B": 2.0, "C": 1.0}}, directions, {})
    assert even.written == "C > A = B"
    (few,) = agreements({"wer": columns["wer"]}, directions, {"A": 2.0, "B": 4.0})
    assert (few.spearman, few.kendall, few.n) == (None, None, 2)


def test_means_that_differ_by_rounding_alone_are_tied() -> None:
    heard = {"A": 1.0, "B": 2.0, "C": 3.0}
    means = {"A": (16.66666667 * 2 + 50.0) / 3, "B": (33.33333333 * 2 + 16.66666667) / 3, "C": 40.0}
    assert means["A"] != means["B"]
    drawn = {s: np.full(3, value) for s, value in means.items()}
    (found,) = agreements({"wer": means}, {"wer": "lower"}, heard, {"wer": drawn})
    assert found.written == "A = B > C"
    assert found.spearman == pytest.approx(-0.866, abs=1e-3)
    assert found.spearman_interval == pytest.approx((-0.866, -0.866), abs=1e-3)


def test_agree_reads_a_report(tmp_path: Path) -> None:
    lines = ["system,kind,speaker,metric,direction,mean"]
    lines += [f"{s},model,all,wer,lower,{v}" for s, v in (("A", 9), ("B", 5), ("C", 7))]
    (tmp_path / "report.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "heard.csv").write_text("system,mos\nA,4\nB,2\nC,3\n")
    arguments = ["literature", "agree", str(tmp_path / "report.csv")]
    arguments += ["--listeners", str(tmp_path / "heard.csv")]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.exit_code == 0, result.output
    assert "B > C > A" in result.output
    assert "-1.00" in result.output
    assert "own" not in result.stderr
    counted = [
        line + ("n_ok" if i == 0 else str(i)) for i, line in enumerate(x + "," for x in lines)
    ]
    (tmp_path / "report.csv").write_text("\n".join(counted) + "\n")
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert "wer: not all systems have a score of the same number of clips" in result.stderr
