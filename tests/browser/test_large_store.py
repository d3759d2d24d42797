"""Capture and Trajectories over a store of 20,000 calls in a browser: what comes with a page is small, and comes at once.

Over a million: ``python benchmarks/captures_scale.py --calls 1000000 --keep FOLDER``, then these tests with
``SHADOWNB_LARGE_STORE=FOLDER/captures/c1000000``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

import shadownb as snb
from tests.capture.plenty import plenty

from .lab import Lab, Notebook
from .looks import AXE, violations

SETUP, PANEL = 0, 1
MOST_BYTES = 200_000
"""What may come over the wire for one thing that a user does, and what a panel may hold."""
Photograph = Callable[[Locator, str], None]

OPEN = "import shadownb as snb\nstore = snb.CaptureStore.open({path!r})"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that is indexed, two of its calls scored."""
    kept = os.environ.get("SHADOWNB_LARGE_STORE")
    store = snb.CaptureStore.open(kept) if kept else plenty(20_000, "large", home=tmp_path_factory.mktemp("large"))
    store.index.catch_up()
    first, second = (call.id for call in store.calls(limit=2, newest_first=True))
    store.score(first, 1.0, note="The right queue.")
    store.score(second, 0.25, name="tone")
    store.close()
    return store.path


@pytest.fixture
def notebook(lab: Lab, page: Page, large: Path) -> Notebook:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    opened = lab.open(page, "large", OPEN.format(path=str(large)), "")
    opened.execute(SETUP)
    return opened


def calls_of(folder: Path) -> int:
    with closing(snb.CaptureStore.open(str(folder))) as store:
        return store.count()


class Wire:
    """Counts what comes to a page from its kernel."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._count)

    def _count(self, payload: str | bytes) -> None:
        self.bytes += len(payload)

    @contextmanager
    def small(self, what: str, seconds: float = 5.0) -> Iterator[None]:
        """What happens within takes few bytes, and does not hang; how long it takes on a busy machine says nothing more."""
        before, began = self.bytes, time.monotonic()
        yield
        taken, came = time.monotonic() - began, self.bytes - before
        assert came < MOST_BYTES, f"{what}: {came:,} bytes"
        assert taken < seconds, f"{what}: {taken:.1f} s"


@pytest.mark.full
def test_calls_of_a_large_store_are_small_and_come_at_once(
    notebook: Notebook, large: Path, photograph: Photograph
) -> None:
    page = notebook.page
    wire = Wire(page)
    notebook.reload()  # its connection is made again, and seen
    notebook.run(PANEL, "snb.CapturePanel(store)")
    panel = notebook.panel(PANEL, "Capture")
    calls = panel.get_by_role("region", name="Calls", exact=True)
    expect(calls).to_contain_text(f"{calls_of(large):,} calls", timeout=60_000)
    photograph(panel, "capture-large")
    assert len(panel.inner_html()) < MOST_BYTES
    assert violations(panel) == []

    with wire.small("three pages on"):
        for _ in range(3):
            panel.get_by_role("button", name="Older", exact=True).click()
            expect(panel.get_by_role("button", name="Newer")).to_be_enabled()
    with wire.small("back to the newest"):
        panel.get_by_role("button", name="Newest").click()
        expect(panel.get_by_role("button", name="Newer")).to_be_disabled()
    with wire.small("a search", seconds=10):
        panel.get_by_role("searchbox").fill("case 4242")
        page.keyboard.press("Enter")
        expect(calls).to_contain_text("found")
    with wire.small("an open call"):
        calls.locator("tbody button").first.click()
        expect(panel.get_by_role("article", name="Open call")).to_be_visible()
    panel.get_by_role("searchbox").fill("")
    page.keyboard.press("Enter")
    with wire.small("costs by model", seconds=120):
        panel.locator("summary", has_text="Costs by call site").click()
        panel.get_by_role("combobox", name="Add up by").select_option("model")
        expect(panel.get_by_role("table", name="Costs by call site").locator("tbody tr")).to_have_count(
            3, timeout=120_000
        )
    photograph(panel, "capture-large-costs")
    assert len(panel.inner_html()) < MOST_BYTES
    assert violations(panel) == []


@pytest.mark.full
def test_episodes_of_a_large_store_are_small_and_come_at_once(
    notebook: Notebook, large: Path, photograph: Photograph
) -> None:
    page = notebook.page
    wire = Wire(page)
    notebook.reload()
    notebook.run(PANEL, "snb.TrajectoriesPanel(store)")
    panel = notebook.panel(PANEL, "Trajectories")
    expect(panel.get_by_role("status").first).to_contain_text(f"of {calls_of(large):,} calls", timeout=60_000)
    photograph(panel, "trajectories-large")
    with wire.small("a page on"):
        panel.get_by_role("button", name="Next", exact=True).click()
        expect(panel.get_by_role("button", name="Before", exact=True)).to_be_enabled()
    with wire.small("a search", seconds=10):
        panel.get_by_role("searchbox", name="Search").fill("customs")
        page.keyboard.press("Enter")
        expect(panel.locator("tbody tr").first).to_be_visible()
    with wire.small("an open episode"):
        panel.locator("tbody button").first.click()
        expect(panel.get_by_role("article", name="Open episode")).to_be_visible()
    photograph(panel, "trajectories-large-open")
    assert len(panel.inner_html()) < MOST_BYTES
    assert violations(panel) == []
