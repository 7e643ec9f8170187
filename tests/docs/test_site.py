"""The documentation site: no dead link or anchor, every page in its menu. The generator is not needed for this."""

import importlib.util
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "results").rglob("*.md")], key=lambda page: str(page)
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def anchors(page):
    """Return the anchors of a page's headings, as both GitHub and the site's generator make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    return {slug(title) for title in titles}


def slug(title):
    """Return the anchor of a heading where the two agree; they differ on headings with runs of signs, which get none."""
    title = re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", title)
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    github = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    site = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
    return site if site == github else None


def links(page):
    """Return (target, anchor) of each link within the checkout."""
    found = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return [(target, anchor) for target, anchor in found if "://" not in target and not target.startswith("mailto:")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_anchor_of_a_page_exists(page):
    for target, anchor in links(page):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(there), f"{target}#{anchor}"


def test_links_are_found_and_those_in_code_are_not():
    page = ROOT / "docs" / "own_videos.md"
    assert ("../README.md", "your-own-videos") in links(page)
    assert "your-own-videos" in anchors(ROOT / "README.md")


@pytest.mark.parametrize(
    "title, anchor",
    [("Your own videos", "your-own-videos"), ("A `code` word: two", "a-code-word-two"), ("a - b", None), ("§ 3", None)],
)
def test_an_anchor_is_what_github_and_the_site_agree_on(title, anchor):
    assert slug(title) == anchor


def menu():
    """Return the pages in the site's menu."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    return re.findall(r"- (\w+\.md)$", text, re.MULTILINE)


def test_every_page_is_in_the_menu_once():
    outside = ["CHANGELOG.md", "CONTRIBUTING.md", "overview.md"]  # overview.md is README.md
    assert sorted(menu()) == sorted([*(page.name for page in (ROOT / "docs").glob("*.md")), *outside])


def test_the_site_has_pictures():
    shown = [target for page in PAGES for target, _ in links(page) if target.endswith(".png")]
    assert len(shown) >= 3


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra `docs` is not installed")
@pytest.mark.slow
def test_the_site_builds_and_refuses_a_dead_link(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    done = subprocess.run([*build, str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "overview.html").is_file()
    assert (tmp_path / "site" / "niah" / "types.py").read_bytes() == (ROOT / "niah" / "types.py").read_bytes()
