"""Scoring: complete, resumable, cached by content, safe against kill -9."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.inputs.pairs import RULES, read_run
from evaluation.metrics.base import Metric, get_metric, select
from evaluation.scoring.run import JOURNAL, SCORES, SHARDS, ScoredRun, score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, Locked
from manifests.io import read_jsonl, sha256_file
from manifests.lock import held
from manifests.records import Score
from manifests.shards import Shard

FAST = ("stoi", "mcd", "level_dbfs")


def score(root: Path, *names: str, jobs: int = 0) -> ScoredRun:
    metrics: list[Metric] = [get_metric(n) for n in names or FAST]
    return score_runs([read_run(root)], metrics, jobs, progress=False)[0]


def test_a_row_for_every_clip_and_metric(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    root = make_run(tmp_path / "run", change=add_noise)
    metrics = select(None)[0]
    scored = score_runs([read_run(root)], metrics, progress=False)[0]
    header, rows = read_jsonl(root / SCORES, "scores", Score)
    assert header["schema"] == "scores"
    assert len(rows) == len(scored.scores) == scored.n_new == 4 * len(metrics)
    assert scored.n_failed == 0
    assert len({row.key for row in rows}) == len(rows)
    assert not (root / JOURNAL).exists()


def test_nothing_is_computed_twice(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    first = score(root)
    before = (root / SCORES).stat()
    second = score(root)
    assert (first.n_new, second.n_new) == (12, 0)
    assert first.scores == second.scores
    after = (root / SCORES).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_the_key_is_a_hash_of_all_that_decides_a_score(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    """As it is written here; another text would make every score that anybody has outdated."""
    run = read_run(make_run(tmp_path / "run"))
    for name in ("stoi", "level_dbfs", "wer"):
        metric = select((name,), read_settings([run], recognizer="las"))[0][0]
        scores = score_runs([run], [metric], progress=False)[0].scores
        for clip in run.clips:
            reference = run.reference(clip)
            assert reference is not None
            identity = [
                sha256_file(run.wav(clip)),
                sha256_file(reference) if metric.info.needs_reference else "",
                RULES,
                metric.info.identity(),
                *metric.key_inputs(run.root, clip),
            ]
            text = json.dumps(identity, sort_keys=True).encode()
            assert scores[clip.label, name].key == hashlib.sha256(text).hexdigest()[:32]


def test_only_what_changed_is_computed(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    score(root)
    path = root / "wavs" / "s1_bbaf2n.wav"
    sound, rate_hz = soundfile.read(path)
    soundfile.write(path, 0.5 * sound, rate_hz)
    again = score(root)
    assert again.n_new == 3
    assert len(read_jsonl(root / SCORES, "scores", Score)[1]) == 12, "outdated rows are dropped"
    reference = tmp_path / "recordings" / "s2_lgbf6s.wav"
    sound, rate_hz = soundfile.read(reference)
    soundfile.write(reference, 0.9 * sound, rate_hz)
    assert score(root).n_new == 2, "the level needs no reference"


def test_another_metric_leaves_the_others(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    score(root, "stoi")
    assert score(root, "mel_l1").n_new == 4
    assert len(read_jsonl(root / SCORES, "scores", Score)[1]) == 8
    assert score(root, "stoi", "mel_l1").n_new == 0


def test_jobs_make_no_difference(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    one, two = (make_run(tmp_path / n / "run", change=add_noise) for n in ("one", "two"))
    assert score(one, jobs=0).scores == score(two, jobs=2).scores
    assert (one / SCORES).read_bytes() == (two / SCORES).read_bytes()


def test_faults_are_failures_with_reasons(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", stems=("bbaf2n", "lgbf6s", "swbvzs"))
    wavs = root / "wavs"
    soundfile.write(wavs / "s1_bbaf2n.wav", np.zeros(16_000), 16_000)
    (wavs / "s1_lgbf6s.wav").write_text("no sound")
    (wavs / "s1_swbvzs.wav").unlink()
    (tmp_path / "recordings" / "s2_bbaf2n.wav").unlink()
    soundfile.write(wavs / "s2_lgbf6s.wav", np.random.default_rng(0).normal(size=72_000), 16_000)
    scored = score(root)
    reasons = {
        label: item.reason.split(":")[0]
        for (label, m), item in scored.scores.items()
        if m == "stoi"
    }
    assert reasons == {
        "s1/bbaf2n": "silent",
        "s1/lgbf6s": "unreadable",
        "s1/swbvzs": "file_missing",
        "s2/bbaf2n": "reference_file_missing",
        "s2/lgbf6s": "length_mismatch",
        "s2/swbvzs": "",
    }
    assert all((s.value is None) == (s.status == "failed") for s in scored.scores.values())
    sound, rate_hz = soundfile.read(tmp_path / "recordings" / "s1_swbvzs.wav")
    soundfile.write(wavs / "s1_swbvzs.wav", sound, rate_hz)
    repaired = score(root)
    assert repaired.n_new == 3, "a file that came is scored"
    assert repaired.scores["s1/swbvzs", "stoi"].value == pytest.approx(1)


def test_identical_files_under_two_names(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    for folder in (root / "wavs", tmp_path / "recordings"):
        (folder / "s2_lgbf6s.wav").write_bytes((folder / "s1_bbaf2n.wav").read_bytes())
    scored = score(root)
    twin = scored.scores["s2/lgbf6s", "stoi"]
    assert (twin.speaker, twin.stem) == ("s2", "lgbf6s")
    assert score(root).n_new == 0


def test_torn_journal_is_taken_in(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    score(root)
    whole = (root / SCORES).read_bytes()
    lines = whole.splitlines(keepends=True)[1:]
    (root / SCORES).unlink()
    (root / JOURNAL).write_bytes(
        b"".join(lines[:5]) + lines[5][:40] + b"\n" + lines[6] + lines[7][:9]
    )
    assert score(root).n_new == 12 - 6
    assert (root / SCORES).read_bytes() == whole


def test_killed_and_resumed_is_the_same(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    stems = tuple(f"bbaf{d}n" for d in "123456789z")
    roots = [
        make_run(tmp_path / n / "run", change=add_noise, stems=stems) for n in ("calm", "killed")
    ]
    names = ["stoi", "f0_rmse", "mcd_dtw"]
    code = "from evaluation.cli import main; main()"
    command = [sys.executable, "-c", code, "score", "--jobs", "1", "--metrics", ",".join(names)]
    process = subprocess.Popen([*command, str(roots[1])], stderr=subprocess.DEVNULL)
    journal = roots[1] / JOURNAL
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 6):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (roots[1] / SCORES).exists()
    resumed, calm = score(roots[1], *names), score(roots[0], *names)
    assert 0 < resumed.n_new < calm.n_new == 60
    assert (roots[0] / SCORES).read_bytes() == (roots[1] / SCORES).read_bytes()


def test_two_at_once_are_refused(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    with held(root), pytest.raises(Locked, match=f"process {os.getpid()} "):
        score(root)
    assert score(root).n_new == 12


def test_systems_share_the_recording(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.inputs import pitch

    tracked = []
    real = pitch.track_f0
    monkeypatch.setattr(pitch, "track_f0", lambda s: tracked.append(len(s)) or real(s))
    runs = [read_run(make_run(tmp_path / n, name=n, stems=("bbaf2n",))) for n in ("one", "two")]
    score_runs(runs, [get_metric("f0_rmse"), get_metric("vuv_error")], progress=False)
    assert len(tracked) == 2 + 4, "each of two recordings once, each of four outputs once"


def test_scores_are_strict_json(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    score(root)
    for line in (root / SCORES).read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


# --- shards --------------------------------------------------------------------------------------


def score_shard(root: Path, number: int, count: int = 3) -> ScoredRun:
    metrics: list[Metric] = [get_metric(name) for name in FAST]
    shard = Shard(number, count)
    return score_runs([read_run(root)], metrics, progress=False, shard=shard)[0]


def test_shards_together_are_the_one_scoring(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    whole = make_run(tmp_path / "whole", change=add_noise)
    score(whole)
    root = make_run(tmp_path / "run", change=add_noise)
    parts = [score_shard(root, i) for i in (1, 2, 3)]
    assert sum(part.n_new for part in parts) == 12
    assert not (root / SCORES).exists()
    joined = score(root)
    assert joined.n_new == 0
    assert (root / SCORES).read_bytes() == (whole / SCORES).read_bytes()
    assert not (root / SHARDS).exists()


def test_a_missing_shard_is_computed_by_the_call_that_joins(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run")
    done = score_shard(root, 1).n_new + score_shard(root, 3).n_new
    assert score_shard(root, 1).n_new == 0, "a shard is not scored twice"
    assert score(root).n_new == 12 - done


def test_shards_work_at_once_and_outdated_scores_are_dropped(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run")
    with held(root / SHARDS / "2-of-3"), pytest.raises(Locked):
        score_shard(root, 2)
    with held(root / SHARDS / "2-of-3"):
        done = score_shard(root, 1).n_new + score_shard(root, 3).n_new
    clips = [clip for clip in read_run(root).clips if not Shard(2, 3).holds(clip.clip_id)]
    path = root / clips[0].wav
    sound, rate_hz = soundfile.read(path)
    soundfile.write(path, 0.5 * sound, rate_hz)
    assert score(root).n_new == 12 - done + 3
    assert len(read_jsonl(root / SCORES, "scores", Score)[1]) == 12


def test_a_killed_shard_goes_on_from_its_journal(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run")
    score(root)
    rows = read_jsonl(root / SCORES, "scores", Score)[1]
    (root / SCORES).unlink()
    folder = root / SHARDS / "1-of-1"
    folder.mkdir(parents=True)
    lines = [json.dumps(row.to_dict()) for row in rows[:5]]
    (folder / JOURNAL).write_text("\n".join(lines) + '\n{"torn')
    assert score_shard(root, 1, 1).n_new == 12 - 5


# --- Dask ----------------------------------------------------------------------------------------


def test_a_cluster_scores_what_one_process_does_and_loads_a_network_once_a_worker(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    import distributed

    def networks_loaded() -> int:
        from evaluation.models import quality_net

        return quality_net.load_quality_net.cache_info().misses

    names = ("stoi", "degradation_index")
    here = make_run(tmp_path / "here", change=add_noise)
    score(here, *names)
    root = make_run(tmp_path / "run", change=add_noise)
    metrics: list[Metric] = [get_metric(name) for name in names]
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        scored = score_runs(
            [read_run(root)],
            metrics,
            2,
            progress=False,
            backend="dask",
            scheduler=cluster.scheduler_address,
        )[0]
        loads = client.run(networks_loaded)
    assert (scored.n_new, scored.n_failed) == (8, 0)
    assert (root / SCORES).read_bytes() == (here / SCORES).read_bytes()
    assert not (root / JOURNAL).exists()
    assert max(loads.values()) == 1, loads


def test_a_backend_that_cannot_be_used_is_one_line(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    cases: tuple[tuple[int, dict[str, str], str], ...] = (
        (2, {"backend": "slurm"}, "unknown execution backend 'slurm'"),
        (0, {"backend": "dask"}, "--jobs 0; use at least one"),
        (2, {"scheduler": "tcp://host:1"}, "--scheduler is for --backend dask"),
    )
    for jobs, more, says in cases:
        with pytest.raises(BadInput, match=says):
            score_runs([run], [get_metric("stoi")], jobs, progress=False, **more)
    assert not (run.root / SCORES).exists()
