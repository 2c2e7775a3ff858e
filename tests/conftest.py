"""Shared by all tests: this folder is on the path (`from clips import tiny_clip`), and where the real
clips lie."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import tiny_clip

# A run in the background of a script inherits an ignored Ctrl-C, and so would the programs under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The clips of most tests are colored noise and tones, which is no content; tests of the checks of
# content ask for them.
os.environ.setdefault("GRIDPREP_CONTENT", "off")


@pytest.fixture(scope="session")
def sound_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip in GRID's form with nothing wrong; made once, to be copied or linked."""
    return tiny_clip(tmp_path_factory.mktemp("clips") / "sound.mpg")


@pytest.fixture(scope="session")
def real_grid() -> Path:
    """The folder of real GRID clips; the test is skipped where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "grid"
    root = Path(os.environ.get("GRIDPREP_REAL_DATA", beside))
    if not root.is_dir():
        pytest.skip(f"no real clips: {root} is not there (set GRIDPREP_REAL_DATA)")
    return root


@pytest.fixture(scope="session")
def synth_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SynthGRID of two speakers with two clips each, with faces that backends find; to be copied or
    read."""
    from gridprep.synth.corpus import make_corpus

    root = tmp_path_factory.mktemp("synth") / "corpus"
    make_corpus(root, speakers=("s1", "s4"), sentences=2, seed=7, jobs=1)
    return root


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a landmark backend that sees a face in every picture that is not red."""
    import builds

    from gridprep.landmarks import registry

    monkeypatch.setattr("gridprep.pipeline.run.process_clip", builds.process_with_stub)
    builds.register_stub()
    yield builds.STUB
    del registry.BACKENDS[builds.STUB]


@pytest.fixture(scope="session")
def python_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples of the Python API run; see `python_folder.make_python_folder`."""
    import python_folder as maker

    return maker.make_python_folder(tmp_path_factory.mktemp("python"))


@pytest.fixture
def few_rounds() -> Iterator[None]:
    """Trained vocoders refine what they make by three rounds of Griffin-Lim in the place of a hundred: for
    tests of what is said to whom and written where, and not of how it sounds."""
    from facetron.vocoders import neural
    from facetron.vocoders.griffin_lim import GriffinLim

    with pytest.MonkeyPatch.context() as patch:  # not a test's own, which may undo all of it
        patch.setattr(neural, "GriffinLim", lambda spec, rounds: GriffinLim(spec, 3))
        yield
