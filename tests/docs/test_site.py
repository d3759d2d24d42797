"""The documentation as it is built: whole, loading nothing from elsewhere, and saying of the code what the code says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import shadownb
from shadownb.engine import capabilities, methods, objectives
from tests.docs.building import ROOT
from tests.docs.public_names import REFERENCE

# What a browser fetches by itself; a link that somebody may follow is another thing.
_FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
_IN_CSS = re.compile(r"""(?:url\(|@import)\s*['"]?([^'")\s]+)""")


class _Page(HTMLParser):
    """What a page fetches, where it leads, the anchors it has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _FETCHED and given.get(_FETCHED[tag]):
            self.fetched.append(str(given[_FETCHED[tag]]))
        self.fetched += _IN_CSS.findall(given.get("style") or "")
        if tag == "a" and given.get("href"):
            self.leads.append(str(given["href"]))
        self.anchors |= {str(given["id"])} if given.get("id") else set()

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(site: Path) -> Iterator[tuple[Path, _Page]]:
    for file in sorted(site.rglob("*.html")):
        yield file, _Page(file.read_text(encoding="utf-8"))


def is_outside(address: str) -> bool:
    return bool(urlsplit(address).netloc) or address.startswith("//")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    found = [(file.name, address) for file, page in pages(site) for address in page.fetched if is_outside(address)]
    for style in site.rglob("*.css"):
        found += [(style.name, a) for a in _IN_CSS.findall(style.read_text(encoding="utf-8")) if is_outside(a)]
    assert not found
    assert not [file.name for file, _ in pages(site) if 'class="mermaid"' in file.read_text(encoding="utf-8")], (
        "material fetches mermaid where a page has a diagram"
    )


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.com/a.js"></script>',
        '<link rel="stylesheet" href="//example.com/a.css">',
        '<img src="http://example.com/a.png">',
        '<p style="background: url(https://example.com/a.png)">',
    ],
)
def test_what_would_be_fetched_is_seen(html: str) -> None:
    assert [address for address in _Page(html).fetched if is_outside(address)]


def test_every_link_within_the_site_leads_to_a_page_and_an_anchor_of_it(site: Path) -> None:
    """Those too that strict mode does not look at: made by the theme, by the reference, or written as HTML."""
    known = {file: page.anchors for file, page in pages(site)}
    broken = []
    for file, page in pages(site):
        if file.name == "404.html":  # its links are absolute: it stands for any address
            continue
        for address in (*page.leads, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address == ".":
                continue
            target = (file.parent / parts.path).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            anchor = parts.fragment
            missing = not target.exists() or (
                anchor and not anchor.startswith("__") and target in known and anchor not in known[target]
            )
            if missing:
                broken.append((file.name, address))
    assert not broken


def test_links_and_pictures_read_well_where_the_repository_is_shown() -> None:
    """Every relative address in README, CONTRIBUTING, the benchmarks' page and docs is a file of the repository."""
    files = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    broken = []
    for file in files:
        text = re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for address in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
            path, _, anchor = address.partition("#")
            if is_outside(address):
                continue
            target = (file.parent / path).resolve() if path else file
            heads = (
                re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                if target.suffix == ".md"
                else []
            )
            slugs = {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}
            if not target.exists() or (anchor and anchor not in slugs):
                broken.append((file.name, address))
    assert not broken


@pytest.mark.parametrize("spec", methods.available(), ids=lambda spec: spec.name)
def test_a_method_has_a_page_that_says_what_its_spec_says(spec: methods.MethodSpec, site: Path) -> None:
    text = " ".join(_Page((site / "methods" / f"{spec.name}.html").read_text(encoding="utf-8")).text.split())
    assert spec.hint in text and spec.data_shape in text and spec.rate_source in text
    assert "When not" in text and spec.when_not
    for reason in spec.when_not:
        assert reason.replace("`", "") in text
    support = capabilities.supported_fields(spec.name)
    own = [name for name in (*spec.fields, *objectives.get(spec.objective).honoured()) if support[name] is None]
    first, _, rest = text.partition("Options shared with")
    assert not [name for name in own if name not in first]
    assert not [name for name, reason in support.items() if reason is None and name not in own and name not in rest]


def test_numbers_in_when_not_stand_where_they_were_measured() -> None:
    """A percentage or a size that a spec gives for its notebook or benchmark is printed there."""
    notebook = (ROOT / "notebooks" / "01_methods.ipynb").read_text(encoding="utf-8")
    figures = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for spec in methods.available():
        for reason in spec.when_not:
            if "`benchmarks/memory.py`" in reason:
                assert all(number in figures for number in re.findall(r"\d+\.\d+ GB", reason)), reason
            if "`notebooks/01_methods.ipynb`" in reason:
                shares = re.findall(r"(\d+) %", reason)
                assert all(re.search(rf"\b{share}\s?%", notebook) for share in shares), reason


def test_whatever_the_package_exports_is_in_the_reference(site: Path) -> None:
    there = {anchor for file, page in pages(site) if file.parent.name == "reference" for anchor in page.anchors}
    gone = [name for name in shadownb.__all__ if f"shadownb.{name}" not in there and not name.startswith("__")]
    assert not gone


def test_the_reference_has_the_examples_and_nothing_that_is_for_the_engine_alone(site: Path) -> None:
    shown = {file.stem: page for file, page in pages(site) if file.parent.name == "reference"}
    assert '>>> model.generate(["I paid twice.", "I cannot log in."]' in shown["models"].text
    for owner, names in REFERENCE.FOR_THE_ENGINE.items():
        there = {anchor for page in shown.values() for anchor in page.anchors}
        assert not {f"shadownb.{owner}.{name}" for name in names} & there


def test_a_docstring_shows_no_markup_of_another_tool(site: Path) -> None:
    odd = re.compile(r":(?:class|func|meth|mod|attr|exc):\S|::$", re.MULTILINE)
    found = [file.name for file, page in pages(site) if file.parent.name == "reference" and odd.search(page.text)]
    assert not found


def test_notebooks_have_their_outputs(site: Path) -> None:
    shown = {file.stem for file in (site / "notebooks").glob("*.html")}
    assert shown == {file.stem for file in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    text = _Page((site / "notebooks" / "00_quickstart.html").read_text(encoding="utf-8")).text
    assert "90 better, 0 worse, 6 the same" in text
    assert list((site / "notebooks" / "00_quickstart").glob("*.png"))


def test_the_search_knows_methods_options_and_pages(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    words = " ".join(entry["title"] + " " + entry["text"] for entry in index["docs"])
    assert all(word in words for word in ("When not", "init_lora_weights", "Train on a CSV", "FolderStore"))
