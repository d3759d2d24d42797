"""Fixtures of the browser tests: one JupyterLab for all, one Chromium, a page for each test, pictures if wanted."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from .lab import PATIENCE_MS, Lab, running_lab  # noqa: E402
from .looks import SIZE, take_pictures  # noqa: E402

_OWN = re.compile(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:|file:|chrome-")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
    """A page without memory of other tests; errors that reach it fail the test, and so does whatever it wants from elsewhere."""
    context = browser.new_context(viewport=SIZE, permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    outside: list[str] = []
    # Where there is no network, or a strict one, a panel that needs a content network stays empty.
    context.on("request", lambda request: outside.append(request.url) if not _OWN.match(request.url) else None)
    yield opened
    context.close()
    assert not errors
    assert not outside


@pytest.fixture
def photograph() -> Callable[[Any, str], None]:
    """Keep pictures of a panel if SHADOWNB_SCREENSHOTS names a folder to put them in."""
    folder = os.environ.get("SHADOWNB_SCREENSHOTS")
    return lambda panel, name: take_pictures(panel, Path(folder), name) if folder else None
