"""The frame of every page: one HTML document that names its script, its style and the other pages."""

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class PageOf:
    """A page: its name in the URL, `static/<name>.js` beside it; one out of the menu is reached from others."""

    name: str
    title: str
    in_menu: bool = True
    scripts: tuple[str, ...] = ()


def document(page: PageOf, pages: tuple[PageOf, ...], user: str, can_act: bool) -> str:
    """HTML of a page. All URLs are relative, so that it works under any base path."""
    links = "".join(
        f'<a href="{one.name}"{" aria-current=page" if one.name == page.name else ""}>{escape(one.title)}</a>'
        for one in pages
        if one.in_menu
    )
    scripts = "".join(f'<script src="../static/{name}" defer></script>' for name in page.scripts)
    return f"""<!doctype html>
<html lang="en" data-can-act="{"yes" if can_act else "no"}" data-user="{escape(user, quote=True)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)} · Stellar Platform</title>
<link rel="stylesheet" href="../static/base.css">
<script src="../static/theme.js"></script>
{scripts}<script type="module" src="../static/{page.name}.js"></script>
</head>
<body>
<a class="skip" href="#main">Skip to the page</a>
<nav aria-label="Pages of the Stellar Platform">{links}</nav>
<main id="main" tabindex="-1"><h1>{escape(page.title)}</h1><noscript>This page needs JavaScript.</noscript></main>
<div id="messages" role="status" aria-live="polite"></div>
</body>
</html>
"""
