"""What every page must keep: well-formed, self-contained, usable without sight."""

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Read(HTMLParser):
    """A page's elements; fails on tags that do not close in order, scripts, handlers and outside addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def headings(self) -> list[str]:
        return [str(one["id"]) for one in self.all("h2")]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read_page(page: str | Path) -> Read:
    """A page that was found to be what pages must be."""
    html = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    read = Read(html)
    assert not {"script", "iframe", "object", "embed", "link", "form"} & {name for name, _ in read.found}
    ids = [str(one["id"]) for _, one in read.found if "id" in one]
    assert len(set(ids)) == len(ids), f"an id is given twice: {ids}"
    for name, attributes in read.found:
        assert not [one for one in attributes if one.startswith("on")], f"{name} has a handler"
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/png;base64,")
        if "href" in attributes:
            assert str(attributes["href"]).startswith("#")
            assert str(attributes["href"])[1:] in ids
        if name == "img":
            assert len(str(attributes["alt"])) > 10
    assert "url(" not in html and "@import" not in html
    return read
