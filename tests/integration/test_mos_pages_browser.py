"""A listener's page in a real browser: rate, reload, finish, export, and take the export in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from chromium_devtools import Browser, chromium

from evaluation.mos.pages import write_pages
from evaluation.mos.records import Handout, Key, KeyTrial, Session, Trial
from evaluation.mos.results import read_results

PROGRAM = chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")

RATE_HZ = 16_000
SUBJECT, DESIGN = "S01", "0123456789"
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
PARTS = ("mos", "mos", "mos", "mos", "smos_speaker", "smos_speaker")
"""Part of each trial; the first one is practice."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with four single sounds and two pairs, hostile in its texts."""
    folder = tmp_path_factory.mktemp("handout")
    (folder / "sounds").mkdir()
    rng = np.random.default_rng(0)
    for i in range(9):
        sound = 0.05 * rng.standard_normal(round(0.3 * RATE_HZ))
        soundfile.write(folder / "sounds" / f"{i}.wav", sound, RATE_HZ)
    trials = []
    for i, part in enumerate(PARTS):
        second = (f"{i + 2}.wav",) if part == "smos_speaker" else ()
        trials.append(Trial(f"t{i}", part, i == 0, (f"{i}.wav", *second)))
    sessions = (Session(SUBJECT, tuple(trials)),)
    parts = ("mos", "smos_speaker")
    handout = Handout(
        DESIGN, f"Voices {HOSTILE}", f"Hello {HOSTILE}\n\nBye", parts, 2, "8.wav", sessions
    )
    return write_pages(folder, handout)[0]


@pytest.fixture(scope="module")
def key() -> Key:
    trials = tuple(
        KeyTrial(f"t{i}", SUBJECT, part, i + 1, "rating" if i else "practice", "A", f"s1/{i}")
        for i, part in enumerate(PARTS)
    )
    return Key(DESIGN, "00", {}, {}, trials, ())


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    assert PROGRAM
    with Browser(PROGRAM, tmp_path / "profile") as browser:
        yield browser


def heading(browser: Browser) -> str:
    return str(browser.evaluate("document.querySelector('h1').textContent"))


def locked(browser: Browser) -> bool:
    return bool(browser.evaluate("document.querySelector('fieldset').disabled"))


def begin(browser: Browser, page: Path) -> None:
    """Consent and volume, by mouse and keyboard."""
    browser.open(page)
    browser.click(".main")
    assert heading(browser).startswith("Voices"), "nothing starts without consent"
    browser.click("#agree")
    browser.click(".main")
    assert heading(browser) == "Set the volume"
    browser.press("Enter")
    assert heading(browser) == "Set the volume", "nor before the sound was heard"
    browser.press(" ")
    browser.wait("!document.querySelector('.main').disabled")
    browser.press("Enter")
    assert heading(browser) == "Quality"
    browser.press("Enter")


def rate(browser: Browser, rating: int) -> None:
    """Hears and rates a trial by keyboard."""
    for _ in range(browser.evaluate("document.querySelectorAll('.play').length")):
        assert locked(browser)
        browser.press(str(rating))
        assert not browser.evaluate("document.querySelector('input:checked')"), "not yet"
        browser.press("Enter")
        n_heard = browser.evaluate("document.querySelectorAll('.play.heard').length")
        browser.press(" ")
        browser.wait(f"document.querySelectorAll('.play.heard').length > {n_heard}")
    assert not locked(browser)
    browser.press("Enter")
    assert browser.evaluate("document.querySelector('.main').disabled"), "no rating yet"
    browser.press(str(rating))
    browser.press("Enter")


def test_rate_reload_finish_export(browser: Browser, page: Path, key: Key, tmp_path: Path) -> None:
    begin(browser, page)
    assert browser.evaluate("document.querySelector('.tag').textContent") == "Practice"
    rate(browser, 3)
    assert heading(browser) == "End of the practice"
    browser.press("Enter")
    for rating in (5, 1):
        rate(browser, rating)

    count = browser.evaluate("document.getElementById('count').textContent")
    assert count == "4 of 6"
    browser.press(" ")
    browser.reload()
    assert heading(browser) == "Welcome back"
    assert "3 of 6 answers are kept" in browser.evaluate("document.body.innerText")
    browser.press("Enter")
    assert browser.evaluate("document.getElementById('count').textContent") == count
    assert locked(browser), "half a hearing is none"
    rate(browser, 4)

    assert heading(browser) == "Same speaker?"
    browser.press("Enter")
    for rating in (2, 5):
        rate(browser, rating)
    assert heading(browser) == "Thank you!"
    browser.click("textarea")
    browser.type(f"=1+1 {HOSTILE}")
    browser.reload()
    assert heading(browser) == "Thank you!", "finished stays finished"

    saved = tmp_path / "saved"
    browser.downloads_to(saved)
    names = [f"listening_{DESIGN}_{SUBJECT}.{ending}" for ending in ("json", "csv")]
    for button, name in zip(("#save-json", "#save-csv"), names, strict=True):
        browser.click(button)
        browser.until((saved / name).is_file, name)
    values = json.loads((saved / names[0]).read_text(encoding="utf-8"))
    assert values["consent"] is True
    assert values["started_at"] < values["finished_at"]
    assert [a["plays"] for a in values["answers"]] == [[1]] * 4 + [[1, 1]] * 2
    assert "=1+1" not in (saved / names[1]).read_text(), "what was typed is not in the table"
    for path in sorted(saved.iterdir()):
        imported = read_results([path], key)
        assert not imported.rejections
        ratings = {t: a.rating for t, a in imported.answers[SUBJECT].items()}
        assert ratings == {"t0": 3, "t1": 5, "t2": 1, "t3": 4, "t4": 2, "t5": 5}
    assert len(read_results(sorted(saved.iterdir()), key).answers) == 1
    assert imported.comments == ({SUBJECT: f"=1+1 {HOSTILE}"} if path.suffix == ".json" else {})

    assert browser.evaluate("window.hacked") is None
    assert browser.evaluate("document.images.length") == 0
    assert browser.complaints() == []

    browser.evaluate("document.querySelectorAll('details')[1].open = true")
    browser.click("details[open] button")
    assert heading(browser).startswith("Voices"), "deleted"
    assert browser.evaluate("localStorage.length") == 0


def test_a_phone(browser: Browser, page: Path) -> None:
    browser.resize(360, 740, mobile=True)
    begin(browser, page)
    while heading(browser) != "Thank you!":
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert browser.evaluate(fits), heading(browser)
        if not browser.evaluate("Boolean(document.querySelector('fieldset'))"):
            browser.click(".main")
            continue
        assert browser.evaluate(
            "document.querySelector('.main').getBoundingClientRect().bottom <= innerHeight"
        ), "a trial fits without scrolling"
        small = browser.evaluate(
            "[...document.querySelectorAll('.answer, .play, .main')]"
            ".filter((e) => e.getBoundingClientRect().height < 44).length"
        )
        assert small == 0, "targets are large enough for a thumb"
        for i in range(1, 1 + browser.evaluate("document.querySelectorAll('.play').length")):
            browser.click(f".player:nth-child({i}) .play")
            browser.wait(f"document.querySelector('.player:nth-child({i}) .play.heard')")
        browser.click(".answer:nth-of-type(2)")
        browser.wait("!document.querySelector('.main').disabled")
        browser.click(".main")
    ratings = browser.evaluate(
        "Object.values(JSON.parse(Object.values(localStorage)[0]).answers).map((a) => a.rating)"
    )
    assert ratings == [4] * 6
    assert browser.complaints() == []


def test_plays_are_limited_and_named_for_screen_readers(browser: Browser, page: Path) -> None:
    begin(browser, page)
    label = "document.querySelector('.play').getAttribute('aria-label')"
    assert browser.evaluate(label) == "Play the sound"
    for _ in range(2):
        browser.press(" ")
        browser.wait("document.querySelector('[aria-label^=Playing]')")
        browser.wait("document.querySelector('.play.heard')")
    browser.wait("document.querySelector('.play').disabled")
    assert browser.evaluate(label) == "Play the sound again"
    assert not locked(browser)
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('button, input')].filter((e) => !(e.textContent.trim()"
        " || e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim())).length"
    )
    assert unnamed == 0
    legend = browser.evaluate("document.querySelector('fieldset legend').textContent")
    assert legend == heading(browser)
    assert browser.evaluate("document.activeElement.tagName") == "H1", "focus follows the screen"
    assert browser.evaluate("document.getElementById('status').textContent") == (
        "Now choose your answer."
    )


def test_a_browser_that_keeps_nothing_says_so(browser: Browser, page: Path) -> None:
    browser.send(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})",
    )
    browser.open(page)
    assert "keeps nothing" in browser.evaluate("document.querySelector('.warn').textContent")
    begin(browser, page)
    rate(browser, 2)
    assert heading(browser) == "End of the practice"
