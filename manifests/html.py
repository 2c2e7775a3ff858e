"""HTML pages of all programs: Jinja2 templates with autoescape, and files that are put into a page.

A template lies in its program's package as `NAME.html`; `manifests/templates` holds what pages share:
`base.html` (the frame with its Content-Security-Policy), `base.css`, and `sort.js` for tables that sort.
Every text that a template prints is escaped, and an undefined name in a template is an error.
"""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from typing import Any

import jinja2

SHARED = "manifests"
FOLDER = "templates"


def render(package: str, template: str, **values: Any) -> str:
    """Renders a template as HTML text.

    Args:
        package: where the template lies, as `evaluation.reporting`.
        template: its file name.
        values: the values that it prints; texts are escaped.
    """
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> jinja2.Environment:
    # Scripts and styles are parts of templates; only what is printed into a page is escaped.
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _source(package, name)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(package: str, name: str) -> str | None:
    own = resources.files(package) / name
    shared = resources.files(SHARED) / FOLDER / name
    found = next((path for path in (own, shared) if path.is_file()), None)
    return None if found is None else found.read_text("utf-8")


def data_uri(kind: str, content: bytes) -> str:
    """Encodes a file as a `data:` address that is embedded in a page.

    >>> data_uri("image/png", b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
