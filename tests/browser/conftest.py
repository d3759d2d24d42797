"""Fixtures of the browser tests: one JupyterLab for all, one Chromium, a page for each test, pictures if wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from .lab import PATIENCE_MS, Lab, running_lab  # noqa: E402

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1200, "height": 1000}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server whose settings, kernels' home and notebooks lie in a temporary folder."""
    with running_lab(tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page without memory of other tests; errors that reach it fail the test."""
    context = browser.new_context(viewport=SIZE, permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert not errors


@pytest.fixture
def photograph() -> Callable[..., None]:
    """Keep a picture of a panel, light and dark, if SHADOWNB_SCREENSHOTS names a folder to put it in."""
    folder = os.environ.get("SHADOWNB_SCREENSHOTS")

    def take(panel: Any, name: str) -> None:
        if folder is None:
            return
        page = panel.page
        height = panel.evaluate("panel => Math.ceil(panel.getBoundingClientRect().height)")
        page.set_viewport_size({**SIZE, "height": height + 250})
        for theme in ("Dark", "Light"):
            change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
            page.evaluate(change, f"JupyterLab {theme}")
            sync_api.expect(panel.first).to_have_attribute("data-theme", theme.lower())
            sync_api.expect(page.locator("#jupyterlab-splash")).to_have_count(0)
            # A chart draws again in the new colours.
            page.wait_for_load_state("networkidle")
            panel.screenshot(path=str(Path(folder) / f"{name}-{theme.lower()}.png"))
        page.set_viewport_size(SIZE)

    return take
