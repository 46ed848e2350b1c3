"""Pages for people: one HTML file that holds its pictures, loads nothing and runs nothing."""

from stellar.pages.page import (
    HEADS,
    Fact,
    Gallery,
    Page,
    Part,
    Picture,
    Section,
    Table,
    Text,
    anchor,
    render,
    render_section,
)

__all__ = [
    "HEADS",
    "Fact",
    "Gallery",
    "Page",
    "Part",
    "Picture",
    "Section",
    "Table",
    "Text",
    "anchor",
    "render",
    "render_section",
]
