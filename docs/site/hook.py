"""What MkDocs runs while it builds the site (`hooks` in `mkdocs.yml`).

- `<!-- made: NAME -->` in a page gives way to Markdown that is made of the code, see :mod:`made`.
- `README.md` becomes the first page, other documents outside of `docs/` some of the others.
- Links from a page to files outside of `docs/` lead to copies of them on the site.
- A page that the navigation does not name comes at its end.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from made import MADE, PLACE
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_DOCUMENTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "deploy/README.md": "deploy.md",
}
PAGES = {source: target for source, target in _DOCUMENTS.items() if (ROOT / source).is_file()}
"""Documents outside of `docs/` that are pages of the site."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that the navigation forgets come at its end."""
    nav: list[Any] = config.nav or []
    named = set(_named(nav))
    found = sorted({*(path.name for path in Path(config.docs_dir).glob("*.md")), *PAGES.values()})
    config.nav = [*nav, *(name for name in found if name not in named)]
    return config


def _named(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(each)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents outside of `docs/`, and copies of all files that pages link to."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=text))
    for page in files.documentation_pages():
        for link in _links(page.content_string):
            path = _in_repository(link, page.src_uri)
            target = _on_site(path)
            if (
                not path.startswith("docs/")
                and path not in PAGES
                and not files.get_file_from_path(target)
            ):
                if not (ROOT / path).is_file():
                    raise PluginError(f"{page.src_uri} links to {link}, which is no file")
                files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site, then what is made in its place."""
    parts = _FENCE.split(markdown)
    uri = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = _on_site(_in_repository(match[1], uri))
        return posixpath.relpath(target, posixpath.dirname(uri) or ".")

    linked = "".join(part if i % 2 else _LINK.sub(moved, part) for i, part in enumerate(parts))
    return PLACE.sub(_made, linked)


def _made(match: re.Match[str]) -> str:
    name = match["name"]
    if name not in MADE:
        raise PluginError(f"nothing makes {name!r}; known: {', '.join(MADE)}")
    return MADE[name]()


def _links(markdown: str) -> list[str]:
    """Targets of the links of a page that lead to files."""
    parts = _FENCE.split(markdown)
    return [link for part in parts[::2] for link in _LINK.findall(part)]


def _in_repository(link: str, page_uri: str) -> str:
    """The path from the root of the file that a page links to."""
    documents = {target: source for source, target in PAGES.items()}
    page = documents.get(page_uri, f"docs/{page_uri}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _on_site(path: str) -> str:
    """Where a file of the repository is on the site. What a browser would run or hide is text."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}.txt"
