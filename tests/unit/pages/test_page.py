import pytest

from page_checks import read_page
from stellar.pages import Fact, Gallery, Page, Picture, Section, Table, Text, anchor, render, render_section

HOSTILE = "<script>alert('x')</script>\"><img src=http://example.org/x onerror=y> {{ 7*7 }} <!-- later -->"
PICTURE = Picture(HOSTILE, f"A picture of {HOSTILE}", b"\x89PNG", 10, 20, HOSTILE)


def page():
    parts = [Text(HOSTILE), PICTURE, Gallery([PICTURE], small=True), Table([HOSTILE, "n"], [(HOSTILE, 3)], HOSTILE)]
    return Page(HOSTILE, HOSTILE, [Fact(HOSTILE, HOSTILE)], [Section(HOSTILE, parts), Section("Empty", [])])


def test_every_text_is_escaped_and_an_empty_section_is_left_out():
    read = read_page(render(page()))
    assert len(read.headings) == 1
    assert "{{ 7*7 }}" in read.text and "49" not in read.text
    assert len(read.all("img")) == 2
    assert read.text.count("<script>alert") >= 8


def test_a_later_section_goes_into_the_slot_once_each():
    html = render(page())
    one = render_section(html, Section("Registry", [Text(HOSTILE)]))
    two = render_section(one, Section("More", [Text("more")]))
    assert read_page(two).headings == ["registry", "more", anchor(HOSTILE)]
    assert render_section("no slot", Section("Registry", [])) == "no slot"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234567, "1,234,567"), (0.123456, "0.1235"), (None, ""), (float("nan"), ""), (float("inf"), ""), ("a|b", "a|b")],
)
def test_values_of_a_table(value, shown):
    html = render(Page("t", "l", (), [Section("S", [Table(("a", "b"), [("x", value)], "c")])]))
    assert f">{shown}</td>" in html


def test_the_same_page_has_the_same_bytes():
    assert render(page()) == render(page())
