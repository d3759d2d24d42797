"""Each panel alone: by keyboard, by name, as code, and when a run fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .curves import wait_for_points
from .lab import Lab, Notebook

START, PANEL, SCRATCH = 0, 1, 2
Photograph = Callable[[Locator, str], None]

ROWS = """rows = [
    {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"Here is {i}."}]}
    for i in range(24)
]"""
# What a keyboard or a screen reader stops at, as Chromium's accessibility tree names it.
INTERACTIVE = "button|textbox|combobox|radio|checkbox|switch|slider|spinbutton|tab|link"


@pytest.fixture
def notebook(lab: Lab, page: Page, tiny_model_dir: Path) -> Notebook:
    start = f'import shadownb as snb\nmodel = snb.load("{tiny_model_dir}", dtype="float32")\n{ROWS}'
    opened = lab.open(page, "panels", start, "", "")
    opened.execute(START)
    return opened


def nameless(panel: Locator) -> list[str]:
    """Open all folds, and return the controls on the page that have no accessible name."""
    for fold in panel.locator("summary").all():
        if fold.is_visible() and not fold.evaluate("summary => summary.parentElement.open"):
            fold.click()
    lines = panel.aria_snapshot().splitlines()
    controls = [line.strip() for line in lines if re.match(rf"\s*- ({INTERACTIVE})\b", line)]
    assert controls
    return [line for line in controls if not re.match(r'- \w+ "[^"]', line)]


def tab_to(panel: Locator, wanted: Locator) -> list[str]:
    """Press Tab until a control has the focus; return what had it on the way."""
    passed: list[str] = []
    for _ in range(150):
        panel.page.keyboard.press("Tab")
        if wanted.evaluate("control => control === document.activeElement"):
            return passed
        assert panel.evaluate("panel => panel.contains(document.activeElement)"), f"the focus left after {passed}"
        passed.append(
            panel.page.evaluate("document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent")
        )
    raise AssertionError(f"Tab never came there: {passed}")


def test_train_by_keyboard_and_the_same_as_code(notebook: Notebook) -> None:
    page = notebook.page
    notebook.run(PANEL, "panel = snb.TrainPanel()\npanel")
    train = notebook.panel(PANEL, "Train")
    start = train.locator(".train-go").get_by_role("button")
    expect(start).to_have_text("Choose data")
    start.focus()
    page.keyboard.press("Enter")  # leads to what is missing
    data = train.get_by_role("combobox", name="Data set")
    expect(data).to_be_focused()
    page.keyboard.type("rows")
    expect(start).to_have_text("Choose a model")
    tab_to(train, train.get_by_role("combobox", name="Model"))
    page.keyboard.type("model")
    expect(start).to_have_text("Start training")
    steps = train.get_by_role("textbox", name="Maximum steps")
    passed = tab_to(train, steps)
    assert [name for name in passed if name.startswith("LoRA")], passed
    page.keyboard.type("3")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("3 steps")
    tab_to(train, start)
    expect(start).to_have_text("Start training")
    page.keyboard.press("Space")
    expect(start).to_have_text("Train again from the base")
    assert nameless(train) == []

    train.get_by_role("button", name="Copy does the same in a cell").click()
    code = page.evaluate("navigator.clipboard.readText()")
    notebook.run(SCRATCH, code)
    same = "run.wait()\nprint(run.id != panel.run.id, run.status, run.config == panel.run.config)"
    expect(notebook.run(SCRATCH, same).last).to_have_text("True succeeded True\n")


def test_a_failed_run_says_what_to_do_and_the_next_one_works(notebook: Notebook, photograph: Photograph) -> None:
    broken = (
        "weights = model.module.get_input_embeddings().weight.data\nkept = weights.clone()\nweights.fill_(float('nan'))"
    )
    notebook.run(SCRATCH, broken)
    notebook.run(PANEL, "studio = snb.Studio(model=model, dataset=rows)\nstudio")
    studio, train, run = (notebook.panel(PANEL, name) for name in ("Studio", "Train", "Run"))
    start = train.locator(".train-go").get_by_role("button")
    train.get_by_role("textbox", name="Maximum steps").fill("3")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("3 steps")
    expect(start).to_have_text("Start training")
    start.click()
    card = run.get_by_role("alert")
    expect(card).to_contain_text("The loss became nan in the first step")
    expect(card).to_contain_text("Why")
    expect(card).to_contain_text("Next")
    expect(run.get_by_role("status").first).to_have_text("Failed")
    photograph(run, "run-failed")
    expect(notebook.run(SCRATCH, "_ = weights.copy_(kept)\n1 + 1")).to_have_text("2")

    studio.get_by_role("tab", name="Train", exact=True).click()
    expect(start).to_have_text("Train again from the base")
    start.click()
    expect(run.get_by_role("status").first).to_have_text("Finished")
    wait_for_points(run, "n === 3")


def test_run_and_chat_panels_alone(notebook: Notebook) -> None:
    notebook.run(PANEL, "snb.ChatPanel(model)")
    chat = notebook.panel(PANEL, "Chat")
    chat.get_by_role("textbox", name="Message").fill("Say 3.")
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_role("article", name="Model answer")).to_contain_text("tokens/s")
    assert nameless(chat) == []
    notebook.run(PANEL, "run = model.train(rows, max_steps=3, background=True)\nsnb.RunPanel(run)")
    panel = notebook.panel(PANEL, "Run")
    expect(panel.get_by_role("status").first).to_have_text("Finished")
    wait_for_points(panel, "n === 3")
    for name in ("Checkpoints", "Warnings", "Code", "Samples"):
        panel.get_by_role("tab", name=name).click()
        assert nameless(panel) == []


def test_a_reload_brings_the_form_and_the_conversation_back(notebook: Notebook) -> None:
    notebook.run(PANEL, "panel = snb.TrainPanel()\npanel")
    notebook.run(SCRATCH, "snb.ChatPanel(model)")
    train, chat = notebook.panel(PANEL, "Train"), notebook.panel(SCRATCH, "Chat")
    start = train.locator(".train-go").get_by_role("button")
    train.get_by_role("combobox", name="Data set").select_option("var:rows")
    train.get_by_role("combobox", name="Model", exact=True).select_option("var:model")
    expect(start).to_have_text("Start training")
    train.get_by_role("radio", name="Full fine-tuning").click()
    train.get_by_text("Another share").click()
    train.get_by_role("textbox", name="Maximum steps").fill("7")
    plan = train.get_by_role("region", name="What will run")
    expect(plan).to_contain_text("7 steps")  # with the new plan what stands below it moves, also from under a click
    train.locator("summary", has_text="Advanced options").click()
    train.get_by_role("textbox", name="Weight decay").fill("0.5")
    expect(train.locator("summary", has_text="Advanced options (1 changed)")).to_be_visible()
    chat.locator("summary", has_text="Sampling").click()
    chat.get_by_role("textbox", name="System prompt").fill("Be brief.")
    chat.get_by_role("textbox", name="Seed").fill("11")
    chat.get_by_role("textbox", name="Message").fill("Say 3.")
    chat.get_by_role("button", name="Send").click()
    answer = chat.get_by_role("article", name="Model answer")
    expect(answer).to_contain_text("tokens/s")
    before = [panel.text_content() for panel in (plan, answer)]

    notebook.reload()
    expect(start).to_have_text("Start training")
    expect(answer).to_contain_text("tokens/s")
    assert [panel.text_content() for panel in (plan, answer)] == before
    expect(train.get_by_role("combobox", name="Data set")).to_have_value("var:rows")
    expect(train.get_by_role("combobox", name="Model", exact=True)).to_have_value("var:model")
    expect(train.get_by_role("radio", name="Full fine-tuning")).to_be_checked()
    expect(train.get_by_role("radio", name="Another share")).to_be_checked()
    expect(train.get_by_role("textbox", name="Maximum steps")).to_have_value("7")
    expect(train.locator("summary", has_text="Advanced options (1 changed)")).to_be_visible()
    chat.locator("summary", has_text="Sampling").click()
    expect(chat.get_by_role("textbox", name="System prompt")).to_have_value("Be brief.")
    expect(chat.get_by_role("textbox", name="Seed")).to_have_value("11")
    # Both go on from there: the next message continues the conversation, and the button starts what was chosen.
    chat.get_by_role("textbox", name="Message").fill("And 4?")
    chat.get_by_role("button", name="Send").click()
    expect(answer).to_have_count(2)
    expect(answer.last).to_contain_text("tokens/s")
    start.click()
    expect(start).to_have_text("Train again from the base")
    done = "run = panel.run.wait()\nprint(run.status, run.step, run.config.method, run.config.weight_decay)"
    expect(notebook.run(START, done).last).to_have_text("succeeded 7 full 0.5\n")


def test_after_a_reload_the_run_says_that_the_kept_picture_is_old(notebook: Notebook) -> None:
    helpers = str(Path(__file__).parents[1] / "panels")
    notebook.run(START, f"import sys\nsys.path.insert(0, {helpers!r})\nfrom hand_runs import HandRun\nhand = HandRun()")
    notebook.run(
        PANEL, "hand.begin(4)\nfor step in (1, 2): hand.step(step)\nhand.journal.flush()\nsnb.RunPanel(hand.run)"
    )
    run = notebook.panel(PANEL, "Run")
    wait_for_points(run, "n === 2")
    notebook.reload()
    wait_for_points(run, "n === 2")
    notebook.run(SCRATCH, 'for step in (3, 4): hand.step(step)\nhand.append("end", status="succeeded")')
    expect(run.get_by_role("status").first).to_have_text("Finished")
    expect(run).to_contain_text("of an earlier moment")
    code = run.get_by_role("figure").filter(has_text="Keep the final picture").locator("pre").inner_text()
    kept = notebook.run(SCRATCH, code).locator("img")
    described = "image => atob(image.src.split('base64,')[1])"
    expect(kept).to_be_attached()
    assert "finished, step 4 of 4" in kept.evaluate(described)
    expect(notebook.panel(SCRATCH, "Run")).not_to_contain_text("of an earlier moment")
