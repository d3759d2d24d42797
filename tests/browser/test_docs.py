"""The documentation as a reader sees it: in both themes, on a narrow page, searched, and without asking anybody else."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.docs.building import site_of

PAGES = ("index", "methods/lora", "names", "reference/models", "notebooks/01_methods", "contributing")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the built site is served."""
    handler = functools.partial(_Quiet, directory=str(site_of(tmp_path_factory)))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("scheme", "shown", "width"), [("light", "default", 1300), ("dark", "slate", 420)])
def test_pages_fit_and_ask_nobody_else(address: str, browser: Browser, scheme: Any, shown: str, width: int) -> None:
    asked: list[str] = []
    errors: list[str] = []
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        page.goto(f"{address}/{name}.html", wait_until="load")
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", shown)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    search(page)
    page.close()
    assert len(asked) > len(PAGES)
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not errors


def search(page: Page) -> None:
    """Find an option by words of its name."""
    page.keyboard.press("/")  # material's key for it, at any width
    box = page.get_by_role("textbox", name="Search")
    expect(box).to_be_focused()
    box.press_sequentially("virtual tokens")
    expect(page.locator(".md-search-result__list")).to_contain_text("num_virtual_tokens")
