"""What the site has beside the Markdown in ``docs/``: pages made from the code, from notebooks, and from files of the repository.

MkDocs calls the functions whose names begin with ``on_``. Pages that are made here are named in the navigation here, too, so that
a method or notebook that is added has its page without another word.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import method_pages
import notebook_pages
import reference_pages
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]

# Files of the repository that are pages as they are.
PAGES = {
    "benchmarks/README.md": "figures.md",
    "shadownb/engine/data/samples/README.md": "shipped-task.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Name the pages that are made in the navigation."""
    sections = {name: entries for section in config.nav for name, entries in section.items()}
    sections["Methods"] += [{title: page} for title, page in method_pages.navigation()]
    sections["Notebooks"] += [{title: page} for title, page in notebook_pages.navigation(ROOT)]
    sections["Reference"] += [{title: page} for title, page in reference_pages.navigation()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for page, content in (*method_pages.pages(), *notebook_pages.pages(ROOT), *reference_pages.pages()):
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Have links lead to pages of the site, which lie elsewhere than the files do that read well on a code host."""
    made = page.file.src_uri
    if made == "methods.md":
        markdown += method_pages.overview()
    source = next((name for name, target in PAGES.items() if target == made), f"docs/{made}")

    def linked(match: re.Match[str]) -> str:
        return _linked(match, source, made)

    def outside_of_code(text: str) -> str:
        return _LINK.sub(linked, text)

    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [outside_of_code(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, outside_of_code(markdown[at:])])


def _linked(match: re.Match[str], source: str, made: str) -> str:
    text, target = match[1], match[2]
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return match[0]
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    page = PAGES.get(named) or notebook_pages.page_of(named)
    if page is None and named.startswith("docs/"):
        page = named.removeprefix("docs/")
    if page is None:  # a file that is no page: its name says where it is
        return f"{text} (`{named}`)" if (ROOT / named).exists() else match[0]
    relative = posixpath.relpath(page, posixpath.dirname(made) or ".")
    return f"[{text}]({relative}{'#' + anchor if anchor else ''})"
