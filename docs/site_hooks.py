"""Hooks of MkDocs: links that leave docs/ lead to copies within the site, so that it is whole without the checkout.

On GitHub a page of docs/ links to ../README.md or ../niah/types.py. MkDocs knows files below docs/ only. Each file that
is linked, from a page or from another linked page, is therefore added to the site at its place in the checkout;
README.md becomes overview.md. What no file of the checkout is stays a dead link, which `--strict` refuses.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config) -> Files:
    """Add every file of the checkout that a page links to."""
    left = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + ["README.md"]
    seen = set(left)
    while left:
        source = left.pop()
        if not source.startswith("docs/"):
            text = _rewritten(_read(source), source) if source.endswith(".md") else None
            path = None if text is not None else str(ROOT / source)
            files.append(File.generated(config, site_path(source), content=text, abs_src_path=path))
        new = {path for path in _linked(source) if path not in seen}
        seen |= new
        left += sorted(path for path in new if not path.startswith("docs/"))
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Rewrite the links of a page of docs/; those of other pages were rewritten when they were added."""
    generated = page.file.generated_by is not None
    return markdown if generated else _rewritten(markdown, f"docs/{page.file.src_uri}")


def site_path(source: str) -> str:
    """Return where a file of the checkout lies in the site."""
    if source == "README.md":
        return "overview.md"
    return source.removeprefix("docs/")


def _linked(source: str) -> Iterator[str]:
    """Yield each file of the checkout that a page links to, by its path there."""
    if source.endswith(".md"):
        for match in LINK.finditer(FENCE.sub("", _read(source))):
            path = _resolved(match.group(2), source)
            if path is not None:
                yield path


def _rewritten(markdown: str, source: str) -> str:
    """Return a page with the links that its place in the site needs; links in code are left alone."""

    def rewrite(match: re.Match) -> str:
        path = _resolved(match.group(2), source)
        if path is None:
            return match.group(0)
        there = posixpath.relpath(site_path(path), posixpath.dirname(site_path(source)) or ".")
        return f"{match.group(1)}{there}{match.group(3) or ''}{match.group(4)}"

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(rewrite, markdown[end : fence.start()]), fence.group(0)]
        end = fence.end()
    return "".join([*parts, LINK.sub(rewrite, markdown[end:])])


def _resolved(target: str, source: str) -> str | None:
    """Return the path in the checkout of a link's target; None for an address and for what is no file there."""
    if "://" in target or target.startswith("mailto:"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def _read(source: str) -> str:
    """Return the text of a file of the checkout."""
    return (ROOT / source).read_text(encoding="utf-8")
