"""Pages: what is printed is escaped, what is missing is an error, what they hold needs nothing else."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from manifests import html
from manifests.html import data_uri, render


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a template of its own that extends the shared frame."""
    folder = tmp_path / "a_program"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html").write_text(
        '{% extends "base.html" %}{% block body %}<p id="{{ key }}">{{ text }}</p>{% endblock %}'
        '{% block script %}{% include "sort.js" %}{% endblock %}'
    )
    monkeypatch.syspath_prepend(tmp_path)
    html._environment.cache_clear()
    return "a_program"


def test_texts_are_escaped(package: str) -> None:
    hostile = "</p><script>alert(1)</script>\"'&"
    page = render(package, "page.html", title=hostile, lead=hostile, key=hostile, text=hostile)
    assert page.count("<script>") == 1, "the frame's own"
    assert page.count("&lt;script&gt;") == 5, "title, heading, lead, attribute and paragraph"
    assert 'id="&lt;/p&gt;' in page
    assert "table.sortable" in page, "shared parts are not escaped"
    assert "default-src 'none'" in page


def test_a_name_that_was_not_given_is_an_error(package: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match="text"):
        render(package, "page.html", title="", lead="", key="")
    with pytest.raises(jinja2.TemplateNotFound):
        render(package, "other.html")


def test_a_file_as_an_address() -> None:
    assert data_uri("image/png", b"abc") == "data:image/png;base64,YWJj"
