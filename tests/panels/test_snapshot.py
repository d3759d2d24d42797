"""The static picture of a run, and where it is displayed."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from hand_runs import HandRun

from shadownb.panels._snapshot import marker, snapshot_png, snapshot_text


def picture(png: bytes | None) -> Any:
    from PIL import Image

    assert png is not None
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def orange(image: Any) -> int:
    """Count the pixels in about the colour of evaluations (the palette is reduced)."""
    return sum(n for n, (r, g, b) in image.convert("RGB").getcolors() if r > 140 and g < 100 and b < 60)


def test_the_picture_shows_curve_and_evaluations_and_says_whose_it_is(hand_run: HandRun) -> None:
    hand_run.begin(60)
    for step in range(1, 61):
        hand_run.step(step)
    hand_run.journal.flush()
    plain = snapshot_png(hand_run.run.state, "title")
    hand_run.evaluate(30)
    hand_run.journal.flush()
    dotted = picture(snapshot_png(hand_run.run.state, "title"))
    assert dotted.text["Description"].startswith(f"{marker(hand_run.run.id)}: running, step 60 of 60, loss ")
    assert orange(dotted) > 50, "evaluations are drawn"
    assert orange(picture(plain)) == 0


def test_a_long_noisy_run_stays_under_40_kilobytes(hand_run: HandRun) -> None:
    hand_run.begin(5000)
    for step in range(1, 5001):
        hand_run.step(step, loss=2 + math.sin(step * 12.9898) * math.exp(-step / 3000))
    hand_run.journal.flush()
    png = snapshot_png(hand_run.run.state)
    assert png is not None and len(png) < 40_000


def test_before_the_second_point_there_is_only_text(hand_run: HandRun) -> None:
    hand_run.begin(60)
    hand_run.step(1)
    hand_run.journal.flush()
    assert snapshot_png(hand_run.run.state) is None
    said, then = snapshot_text(hand_run.run.state).splitlines()
    assert said == f"ShadowNB run {hand_run.run.id}: running, step 1 of 60, loss 2.002"
    assert then == f'now: snb.RunPanel("{hand_run.run.id}")', (
        "what is kept of a run that goes on says where it is told on"
    )


def test_a_flat_loss_and_one_that_is_huge_can_be_drawn(hand_run: HandRun) -> None:
    hand_run.begin(4)
    for step in range(1, 3):
        hand_run.step(step, loss=0.0)
    hand_run.journal.flush()
    picture(snapshot_png(hand_run.run.state))
    hand_run.step(3, loss=1e30)
    hand_run.journal.flush()
    picture(snapshot_png(hand_run.run.state))


def test_the_text_of_a_failed_run_says_what_and_what_next(hand_run: HandRun) -> None:
    hand_run.begin(4)
    for step in range(1, 4):
        hand_run.step(step)
    hand_run.append("end", status="failed", error={"code": "x", "what": "Disk full.", "why": "", "fix": "Free 2 GB."})
    hand_run.journal.flush()
    text = snapshot_text(hand_run.run.state)
    assert "failed" in text and "Disk full." in text and "Next: Free 2 GB." in text and "█" in text


MAKE = """
import sys
sys.path.insert(0, {here!r})
from hand_runs import HandRun
from shadownb.panels import RunPanel
hand = HandRun()
hand.begin(4)
panel = RunPanel(hand.run)
panel
"""

# Waits for the panel's own thread to have drawn: the update must come from there.
TRAIN = """
import threading
drawn = threading.Event()
original = panel._refresh_displays
panel._refresh_displays = lambda: (original(), "finished" in panel.pictured and drawn.set())
for step in range(1, 5):
    hand.step(step)
hand.append("end", status="succeeded")
assert drawn.wait(60)
"""

AGAIN = "display(hand.run)"


def test_a_display_is_the_widget_and_a_picture_that_follows_the_run(home: Path) -> None:
    """In a real kernel: what is saved in the notebook after the run, when the widget can no longer be shown."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [MAKE.format(here=str(Path(__file__).parent)), TRAIN, AGAIN]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False).execute()
    live, still = notebook.cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in live.data
    assert "application/vnd.jupyter.widget-view+json" not in still.data
    assert still.data["image/png"] and "finished, step 4 of 4" in still.data["text/plain"]
    assert notebook.cells[1].outputs == []
    assert "finished, step 4 of 4" in notebook.cells[2].outputs[0].data["text/plain"]
    assert notebook.cells[2].outputs[0].data["image/png"]
