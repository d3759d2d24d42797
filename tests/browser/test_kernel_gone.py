"""A panel whose kernel is gone says so, switches itself off and shows the cell that goes on; and that cell does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import shadownb as snb

from .lab import Lab, Notebook
from .looks import AXE, violations

START, PANEL, NEXT = 0, 1, 2
Photograph = Callable[[Locator, str], None]

ROWS = """rows = [
    {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"Here is {i}."}]}
    for i in range(24)
]"""
SAVE_WIDGETS = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
LONG = "max_steps=100000, save_steps=5, sample_max_new_tokens=0, lora_r=4"


@pytest.fixture
def notebook(lab: Lab, page: Page, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    start = f'import shadownb as snb\nmodel = snb.load("{byte_model_dir}")\n{ROWS}'
    opened = lab.open(page, "gone", start, *[""] * len(PANELS))
    opened.execute(START)
    yield opened
    monkeypatch.setenv("SHADOWNB_HOME", str(lab.home))
    for run in snb.runs.list():
        if run.is_active:  # a worker outlives its kernel, and would outlive a test that fails
            run.discard()


def expect_dead(panel: Locator, code: str) -> None:
    note = panel.get_by_role("alert").filter(has_text="no kernel any more")
    expect(note).to_have_count(1)
    expect(note.locator("pre")).to_contain_text(code)
    expect(note.get_by_role("button")).to_be_enabled()  # copies the code


def expect_switched_off(panel: Locator, among: str = ".snb-life :is(button, input, select, textarea)") -> None:
    """Check that nothing in a panel can be used that needs the kernel."""
    controls = panel.locator(among)
    expect(controls.first).to_be_attached()
    for control in controls.all():
        expect(control).to_be_disabled()


STEERING = ".run-header .snb-push button"


def start_run(notebook: Notebook, cell: int = PANEL, **more: str) -> str:
    options = ", ".join([LONG, *(f"{name}={value!r}" for name, value in more.items())])
    notebook.run(cell, f"run = model.train(rows, {options})\nsnb.RunPanel(run)")
    panel = notebook.panel(cell, "Run")
    expect(panel.get_by_role("list").filter(has_text="left")).to_contain_text(re.compile("Step [1-9]"))
    return panel.locator(".run-id select").input_value()


def test_a_run_panel_after_a_restart_and_the_cell_that_goes_on(notebook: Notebook, photograph: Photograph) -> None:
    run_id = start_run(notebook)
    panel = notebook.panel(PANEL, "Run")
    expect(panel.get_by_role("alert")).to_have_count(0)
    panel.get_by_role("tab", name="Checkpoints").click()
    expect(panel.get_by_role("tabpanel").last).to_contain_text("step-")  # the page has heard of it
    panel.get_by_role("tab").first.click()
    notebook.restart_kernel()
    code = f'import shadownb as snb\nsnb.RunPanel("{run_id}")'
    expect_dead(panel, code)
    expect_switched_off(panel, STEERING)
    panel.get_by_role("tab", name="Checkpoints").click()  # looking around needs no kernel
    expect(panel.get_by_role("tabpanel").last).to_contain_text("step-")
    expect(panel.locator(".run-header")).to_contain_text("Last seen: training")
    expect(panel).not_to_contain_text(re.compile(r"left|estimating"))
    photograph(panel, "dead-run")
    if AXE.is_file():
        assert violations(panel) == []
    panel.get_by_role("button", name="Copy Run this in a cell to go on").click()
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied == code
    notebook.run(NEXT, copied)
    again = notebook.panel(NEXT, "Run")
    expect(again.get_by_role("status").first).to_have_text("Interrupted")
    expect(again.get_by_role("button", name=re.compile("Resume from step"))).to_be_enabled()
    expect(again.get_by_role("alert")).to_have_count(0)


# Beside one another in one notebook: to open one and start its kernel takes ten times as long as to look at a panel.
PANELS = (
    ("Train", "snb.TrainPanel(model, rows)", 'snb.TrainPanel(snb.load("{model}"))'),
    ("Chat", "snb.ChatPanel(model)", 'snb.ChatPanel(snb.load("{model}"))'),
    ("Capture", "snb.CapturePanel()", "snb.CapturePanel()"),
    ("Trajectories", "snb.TrajectoriesPanel()", "snb.TrajectoriesPanel()"),
)


def test_every_panel_after_a_restart(notebook: Notebook, photograph: Photograph, byte_model_dir: Path) -> None:
    for cell, (name, made, _) in enumerate(PANELS, PANEL):
        notebook.run(cell, made)
        panel = notebook.panel(cell, name)
        expect(panel.locator(".snb-life select, .snb-life textarea").first).to_be_enabled()
    notebook.restart_kernel()
    for cell, (name, _, code) in enumerate(PANELS, PANEL):
        panel = notebook.panel(cell, name)
        expect_dead(panel, code.format(model=byte_model_dir))
        expect_switched_off(panel)
        photograph(panel, f"dead-{name.lower()}")


@pytest.mark.parametrize("how", ["shut down", "killed", "saved and reloaded"])
def test_however_the_kernel_went(notebook: Notebook, how: str) -> None:
    run_id = start_run(notebook)
    panel = notebook.panel(PANEL, "Run")
    page = notebook.page
    if how == "shut down":
        notebook.menu("Kernel", re.compile("^Shut Down Kernel$"))
    elif how == "killed":
        notebook.send(NEXT, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    else:
        page.evaluate(f"window.jupyterapp.commands.execute('{SAVE_WIDGETS}')")
        try:
            notebook.save()
        finally:
            page.evaluate(f"window.jupyterapp.commands.execute('{SAVE_WIDGETS}')")  # it is a switch of the whole server
        notebook.restart_kernel()
        page.reload()  # without saving again: that would leave out what has no kernel
        notebook.wait_until_idle()
    expect_dead(panel, f'snb.RunPanel("{run_id}")')
    expect_switched_off(panel, STEERING)


def test_studio_after_a_restart_and_made_again(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, f"run = model.train(rows, {LONG})\nsnb.Studio()")
    studio, run = notebook.panel(PANEL, "Studio"), notebook.panel(PANEL, "Run")
    expect(studio.get_by_role("tab", name="Run", exact=True)).to_have_attribute("aria-selected", "true")
    expect(run.get_by_role("button", name="Pause")).to_be_enabled()
    notebook.run(PANEL, "studio = snb.Studio()\nstudio")
    expect(run.get_by_role("button", name="Pause")).to_be_enabled()
    run_id = run.locator(".run-id select").input_value()
    studio.get_by_role("tab", name="Chat", exact=True).click()
    expect(notebook.panel(PANEL, "Chat").get_by_role("textbox", name="Message")).to_be_enabled()
    notebook.restart_kernel()
    expect_dead(studio, f'snb.Studio(run="{run_id}")')
    expect(studio.get_by_role("alert").filter(has_text="no kernel any more")).to_have_count(1)
    for tab in ("Train", "Run", "Chat"):
        studio.get_by_role("tab", name=tab, exact=True).click()
        inner = notebook.panel(PANEL, tab)
        expect_switched_off(inner, *[STEERING] if tab == "Run" else [])
        photograph(studio, f"dead-studio-{tab.lower()}")


def test_studio_offers_a_run_that_outlived_the_kernel(notebook: Notebook, photograph: Photograph) -> None:
    run_id = start_run(notebook, executor="process")
    notebook.restart_kernel()
    notebook.run(NEXT, "import shadownb as snb\nsnb.Studio()")
    studio = notebook.panel(NEXT, "Studio")
    offer = studio.get_by_role("list", name="Runs that go on").get_by_role("listitem").filter(has_text=run_id)
    expect(offer).to_contain_text("in a worker process")
    photograph(studio, "studio-offer")
    offer.get_by_role("button", name="Show it").click()
    run = notebook.panel(NEXT, "Run")
    expect(run.get_by_role("button", name="Pause")).to_be_enabled()
    run.get_by_role("button", name="Stop", exact=True).click()
    run.get_by_role("group", name="Stop this run?").get_by_role("button", name="Discard").click()
    expect(run.get_by_role("status").first).to_have_text("Discarded")
    expect(studio.get_by_role("list", name="Runs that go on")).to_have_count(0)
