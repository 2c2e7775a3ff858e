"""The demo page in a real browser: everything loads, plays, and asks for nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chromium_devtools import Browser, chromium

# The small build is a helper of the unit tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "facetron"))

from facetron_build import make_build
from facetron_demo_run import make_run

from facetron.demo.page import DemoPageOptions, write_page

PROGRAM = chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")

HOSTILE = "</script><img src=x onerror='window.hacked = 1'>"
READY = "[...document.querySelectorAll('video, audio')].every((player) => player.readyState >= 2)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers of two systems, and a clip without any picture."""
    root = tmp_path_factory.mktemp("demo")
    build = make_build(root / "build", ("s3", "s5"), clips=1, validation=0)
    runs = (
        make_run(
            root / "a", build, f"A {HOSTILE}",
            change=lambda clip: replace(clip, seen=clip.speaker == "s3", transcript=HOSTILE),
        ),
        make_run(root / "b", build, "B"),
        make_run(
            root / "c", build, "C", split="small",
            change=lambda clip: replace(clip, reference="") if clip.speaker == "s5" else None,
        ),
    )  # fmt: skip
    return write_page(DemoPageOptions(runs, root / "page", 1, title=f"Demo {HOSTILE}")).page


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        # A click is aimed once; the page must not still be gliding there.
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        browser.send("Emulation.setEmulatedMedia", features=still)
        browser.open(page)
        yield browser


def count(browser: Browser, selector: str) -> int:
    return int(browser.evaluate(f"document.querySelectorAll({selector!r}).length"))


def test_everything_loads(browser: Browser) -> None:
    assert (count(browser, "video"), count(browser, "audio")) == (6, 1)
    browser.evaluate(
        "document.querySelectorAll('img').forEach((i) => { i.loading = 'eager'; });"
        "document.querySelectorAll('video, audio').forEach((p) => { p.preload = 'auto'; p.load(); })"
    )
    browser.wait(READY)
    browser.wait("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    sizes = browser.evaluate(
        "[...document.querySelectorAll('.mel img')].map((i) => i.naturalWidth)"
    )
    assert sizes == [150] * 7
    told = "[...document.querySelectorAll('video')].map((v) => [v.videoWidth, v.videoHeight])"
    assert browser.evaluate(told) == [[32, 32]] * 6
    lasting = browser.evaluate("[...document.querySelectorAll('video')].map((v) => v.duration)")
    assert lasting == pytest.approx([3.0] * 6, abs=0.05)
    posters = "[...document.querySelectorAll('video')].every((v) => v.poster.endsWith('.jpg'))"
    assert browser.evaluate(posters)
    assert browser.complaints() == []


def test_a_click_plays_and_another_clip_stops_it(browser: Browser) -> None:
    browser.evaluate("document.querySelector('#seen video').playbackRate = 0.25")
    browser.click("#seen figure:nth-of-type(1) figcaption button")
    first = "document.querySelectorAll('video')[0]"
    browser.wait(f"!{first}.paused && {first}.currentTime > 0.05")
    assert count(browser, ".playing") == 1
    moved = "getComputedStyle(document.querySelector('#seen .mel i')).left"
    browser.wait(f"parseFloat({moved}) > 1")
    browser.click("#seen figure:nth-of-type(2) video")
    second = "document.querySelectorAll('video')[1]"
    browser.wait(f"!{second}.paused && {first}.paused")
    browser.evaluate(f"{second}.pause()")
    browser.wait("document.querySelectorAll('.playing').length === 0")


def test_a_click_on_the_mel_goes_there(browser: Browser) -> None:
    browser.click("#seen figure:nth-of-type(1) .mel")
    first = "document.querySelectorAll('video')[0]"
    browser.wait(f"!{first}.paused && {first}.currentTime > 1.4")
    browser.evaluate(f"{first}.pause()")


def test_all_of_a_card_play_in_turn(browser: Browser) -> None:
    browser.evaluate("document.querySelectorAll('video').forEach((v) => { v.playbackRate = 8; })")
    browser.evaluate("window.order = []")
    browser.evaluate(
        "document.querySelectorAll('video').forEach((v, i) =>"
        " v.addEventListener('play', () => window.order.push(i)))"
    )
    browser.click(".card .all")
    browser.wait("window.order.length === 3 && document.querySelectorAll('video')[2].ended")
    assert browser.evaluate("window.order") == [0, 1, 2]


def test_texts_are_texts(browser: Browser) -> None:
    assert browser.evaluate("document.title") == f"Demo {HOSTILE}"
    assert browser.evaluate("window.hacked === undefined")
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('button, video, audio, img')].filter((e) =>"
        " !(e.textContent.trim() || e.getAttribute('aria-label') || e.alt)).length"
    )
    assert unnamed == 0
    assert browser.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_colors(browser: Browser, scheme: str) -> None:
    browser.resize(360, 740, mobile=True)
    browser.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    shown = browser.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    ink, paper = (sum(map(int, c[4:-1].split(","))) / 3 for c in shown)
    assert (ink < 80 and paper > 200) if scheme == "light" else (ink > 200 and paper < 80)
