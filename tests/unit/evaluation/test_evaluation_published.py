"""Protocols of published code: pinned to their originals, and what their faults do."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.commands.report import report
from evaluation.inputs.pairs import Pair, Recording
from evaluation.inputs.settings import Settings
from evaluation.metrics import published
from evaluation.metrics.base import OPTIONAL, PUBLISHED, REGISTRY, get_metric, select
from evaluation.metrics.protocols import BESIDE, PROTOCOLS, columns_of, protocol_of
from evaluation.models.recognizer import AcousticRecognizer
from manifests.io import read_json
from manifests.records import RunClip

Make = Callable[..., NDArray[np.float64]]
SENTENCE = "bin blue at f two now"


def pair_of(reference: NDArray[np.float64], degraded: NDArray[np.float64]) -> Pair:
    clip = RunClip("s1", "bbaf2n", SENTENCE, "male", "")
    return Pair(clip, Recording(degraded, 16_000), Recording(reference, 16_000))


def buzz() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    n = np.arange(16_000)
    loud = 0.5 * np.sin(2 * np.pi * 200 * n / 8000) * np.sin(n / 1500) ** 2
    return np.asarray(loud + 0.01 * rng.standard_normal(len(n)))


class Heard(AcousticRecognizer):
    """A recognizer that hears what it is told."""

    name, label = "whisper", "told"

    def __init__(self, text: str) -> None:
        self.parameters: dict[str, Any] = {"text": text}

    def require(self) -> None: ...

    def transcribe(self, sounds: Any) -> list[str]:
        return [self.parameters["text"] for _ in sounds]


def fake_pesq(monkeypatch: pytest.MonkeyPatch, given: Callable[..., float]) -> None:
    library = types.ModuleType("pesq")
    library.PesqError = type("PesqError", (RuntimeError,), {})  # type: ignore[attr-defined]
    library.pesq = given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pesq", library)


def test_every_protocol_says_what_it_does_and_has_its_columns() -> None:
    assert set(PUBLISHED) == {name for name in REGISTRY if "_as_" in name} <= set(OPTIONAL)
    for name, protocol in PROTOCOLS.items():
        assert protocol.departures
        assert protocol.source.startswith("github.com/")
        assert protocol.paper
        for beside, column in protocol.columns:
            info = get_metric(column).info
            assert protocol_of(column) is PROTOCOLS[name]
            assert BESIDE[column] == beside
            assert info.group == "published"
            assert not info.ranks
            assert protocol.label in info.label
            assert get_metric(beside).info.name == beside


def test_a_protocol_is_computed_only_where_it_is_asked_for() -> None:
    without = {m.info.name for m in select(None, Settings(recognizer="las"))[0]}
    assert not without & set(PUBLISHED)
    given = Settings(recognizer="las", as_published=("mira2022",))
    chosen, absent = select(None, given)
    found = {m.info.name for m in chosen} & set(PUBLISHED)
    needs_pesq = {"pesq_as_mira2022"} if absent else set()
    assert found | needs_pesq == set(columns_of(["mira2022"]))


def test_mfccs_are_those_of_python_speech_features() -> None:
    """Printed by python_speech_features 0.6 on the same sounds, the second one with a frame to fill."""
    first = [-3.232661, -28.327313, -1.64987, -9.632257, -18.267346, -25.717332, -21.027161,
             -16.980736, -13.427079, -9.299497, 3.479231, 6.301419, 4.634002]  # fmt: skip
    last = [-1.036574, 3.58425, 21.09204, -5.556321, -15.221763, -26.162335, -25.681431,
            -21.86362, -12.087354, 3.289795, 7.305623, 13.632128, 14.331846]  # fmt: skip
    found = published.mfccs(buzz())
    assert found.shape == (99, 13)
    np.testing.assert_allclose(found[0], first, atol=1e-6)
    np.testing.assert_allclose(published.mfccs(buzz()[:15_990])[-1], last, atol=1e-6)


def test_raw_pesq_is_that_of_pypesq() -> None:
    """(MOS-LQO by pesq 0.0.4, raw score by pypesq 1.2.4) of the same pair at 8 kHz."""
    for lqo, raw in ((1.036409616470337, -0.0012555898865684867), (4.548638343811035, 4.5)):
        assert published.raw_mos(lqo) == pytest.approx(raw, abs=2e-4)


def test_wrapping_changes_the_stoi_of_loud_sounds_alone(make_sound: Make) -> None:
    """The same sound at half its level has the best STOI there is; wrapped around, it has not."""
    sound = 1.8 * make_sound(1, 2.0)
    assert np.abs(sound).max() == pytest.approx(0.9)
    loud, quiet = pair_of(sound, 0.5 * sound), pair_of(0.5 * sound, 0.25 * sound)
    as_mira, honest = get_metric("stoi_as_mira2022"), get_metric("stoi")
    assert honest.score(loud).value == pytest.approx(1.0, abs=1e-6)
    wrapped = as_mira.score(loud)
    assert wrapped.value is not None
    assert wrapped.value < 0.95
    assert wrapped.details["wrapped_share"] > 0
    assert as_mira.score(quiet).value == pytest.approx(1.0, abs=1e-4)
    assert get_metric("stoi_as_xts2021").score(loud).value == wrapped.value


def test_the_distance_of_mfccs_is_no_distortion_in_decibels(make_sound: Make) -> None:
    pair = pair_of(make_sound(1, 1.5), make_sound(2, 1.5))
    distance, honest = (get_metric(name).score(pair).value for name in ("mcd_as_mira2022", "mcd"))
    assert distance is not None
    assert honest is not None
    assert distance > 2 * honest


@pytest.mark.parametrize("heard", ["bin blue", "bin blue at f two now again please", ""])
def test_an_exchanged_wer_divides_by_what_was_heard(heard: str, make_sound: Make) -> None:
    pair = pair_of(make_sound(1, 1.0), make_sound(1, 1.0))
    swapped = published.WerAsMira(Heard(heard)).measure(pair)
    each = published.WerAsVcaGan(Heard(heard)).measure(pair)
    errors = {"bin blue": 4, "bin blue at f two now again please": 2, "": 6}[heard]
    assert swapped.value == pytest.approx(100 * errors / max(len(heard.split()), 1))
    assert each.value == pytest.approx(100 * errors / 6)
    assert swapped.weight == each.weight == 1  # a mean over clips, whatever their length


def test_an_error_of_pesq_counts_as_zero(monkeypatch: pytest.MonkeyPatch, make_sound: Make) -> None:
    def fails(*_: object) -> float:
        raise ValueError("cannot convert float NaN to integer")

    fake_pesq(monkeypatch, fails)
    pair = pair_of(make_sound(1, 1.0), np.zeros(16_000))
    for name in ("pesq_as_mira2022", "pesq_as_versa2024"):
        score = get_metric(name).score(pair)
        assert (score.status, score.value) == ("ok", 0.0)
        assert score.details["counted_as_zero"].startswith("no_utterances")
    for name in ("pesq_as_vcagan2021", "pesq_as_xts2021", "pesq_wb"):
        assert get_metric(name).score(pair).status == "failed"


def test_rates_and_scales_of_pesq(monkeypatch: pytest.MonkeyPatch, make_sound: Make) -> None:
    calls = []

    def told(rate_hz: int, reference: Any, degraded: Any, mode: str) -> float:
        calls.append((rate_hz, len(reference), len(degraded), mode))
        return 4.548638343811035

    fake_pesq(monkeypatch, told)
    pair = pair_of(make_sound(1, 1.0), make_sound(1, 0.9))
    values = [get_metric(f"pesq_as_{name}").score(pair).value for name in PROTOCOLS]
    assert values == pytest.approx([4.5, 4.5486, 4.5, 4.5486], abs=1e-4)
    narrow = (8000, 7200, 7200, "nb")
    assert calls == [narrow, narrow, narrow, (16_000, 16_000, 14_400, "wb")]


def test_a_missing_file_is_no_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pesq(monkeypatch, lambda *_: 1.0)
    clip = RunClip("s1", "bbaf2n", SENTENCE, "male", "")
    pair = Pair(clip, Recording(tmp_path / "none.wav"), Recording(buzz(), 16_000))
    score = get_metric("pesq_as_mira2022").score(pair)
    assert score.status == "failed"
    assert score.reason.startswith("file_missing")


def test_a_report_shows_them_beside_the_honest_columns(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    for name, share in (("A", 0.01), ("B", 0.2)):
        noise = np.random.default_rng(1)
        make_run(
            tmp_path / name,
            name=name,
            stems=("bbaf2n", "lgbf6s", "pbio7a", "swwv9a", "sbwe5n"),
            change=lambda x, _, share=share, noise=noise: (
                0.5 * x + share * noise.standard_normal(len(x))
            ),
        )
    out = tmp_path / "report"
    found = CliRunner().invoke(
        report,
        [str(tmp_path / "A"), str(tmp_path / "B"), "--out", str(out), "--metrics", "stoi,mcd",
         "--as-published", "xts2021", "--as-published", "mira2022", "--format", "md",
         "--recognizer", "none", "--jobs", "0", "--interval", "bootstrap", "--resamples", "200"],
    )  # fmt: skip
    assert found.exit_code in (0, 5), found.output  # PESQ and a recognizer may be named as missing
    text = (out / "report.md").read_text()
    table = text.partition("## As published")[2].partition("## ")[0]
    head = table.strip().splitlines()[2]
    wanted = ["STOI ↑", "STOI as Mira 2022 ↑", "STOI as XTS ↑", "MCD (dB) ↓", "MCD as Mira 2022 ↓"]
    places = [head.index(f" {label} |") for label in wanted]
    assert places == sorted(places)
    rows = [line.split("|") for line in table.splitlines() if line.startswith(("| A", "| B"))]
    assert len(rows) == 2
    assert "**" in rows[0][2]
    assert "**" in rows[0][5]
    assert not any("**" in row[i] for row in rows for i in (3, 4, 6))
    card = read_json(out / "protocol.json")
    assert [each["name"] for each in card["as_published"]] == ["mira2022", "xts2021"]
    assert card["as_published"][1]["columns"]["stoi_as_xts2021"] == "stoi"
    assert "changes its sign" in (out / "definitions.md").read_text()
