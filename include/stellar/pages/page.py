"""What a page is made of, and how it becomes HTML.

Every text that comes from data (names of classes, columns, files) is escaped by the template. A page names no time, no
host and no random id, so the same content gives the same bytes.
"""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
#: Where `render` leaves room for a section that is known later; no text of a page can hold it, since `<` is escaped.
SLOT = "<!-- later -->"
#: How each page begins. The policy stands before all else, so that nothing in a page that begins like this runs or
#: loads anything, whoever made it.
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
form-action 'none'; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""
#: Every way in which a page of this platform ever began. Stored pages are known by it: a new head is put in front,
#: and none is taken out.
HEADS = (HEAD,)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows in words, for those who cannot see it.

    Attributes
    ----------
    width, height : int
        Of the picture in pixels.
    """

    kind: ClassVar[str] = "picture"
    title: str
    alt: str
    png: bytes
    width: int
    height: int
    caption: str = ""

    @property
    def uri(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side where there is room; `small` ones several to a row."""

    kind: ClassVar[str] = "gallery"
    pictures: Sequence[Picture]
    small: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a header. Numbers are set right; floats have four significant digits."""

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str


Part = Text | Picture | Gallery | Table


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading that can be linked to."""

    title: str
    parts: Sequence[Part]

    @property
    def id(self) -> str:
        return anchor(self.title)


@dataclass(frozen=True)
class Fact:
    """A name and what it is, for the head of a page."""

    name: str
    value: str


@dataclass(frozen=True)
class Page:
    """A whole page; sections without parts are left out, and of sections of one title only the first has an anchor."""

    title: str
    lead: str
    facts: Sequence[Fact] = ()
    sections: Sequence[Section] = field(default_factory=tuple)


def anchor(title: str) -> str:
    """Id of a heading: its letters and digits in lower case, joined by `-`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"


def render(page: Page) -> str:
    """The page as HTML, with a slot for `render_section` before its sections."""
    sections = [section for section in page.sections if section.parts]
    return _environment().get_template("page.html").render(page=page, sections=sections, slot=SLOT, head=HEAD)


def render_section(page: str, section: Section) -> str:
    """A rendered page with a further section in its slot; the slot stays, so that it can be done once more."""
    html = _environment().get_template("section.html").render(section=section)
    before, found, after = page.partition(SLOT)
    return f"{before}{html}{found}{after}" if found else page


def cell(value: Any) -> str:
    """A value of a table as text; nothing for what is not known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["cell"] = cell
    made.tests["figure"] = is_number
    return made
