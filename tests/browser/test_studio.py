"""The way of a first user, with real clicks: choose, start, watch, steer, chat, come back after the kernel is gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.docs.test_recipes import RECIPES

from .curves import count_points, wait_for_points
from .lab import Lab, Notebook

STUDIO, OTHER, SCRATCH = 1, 2, 3
Photograph = Callable[[Locator, str], None]


@pytest.fixture
def notebook(lab: Lab, page: Page, tiny_model_dir: Path) -> Notebook:
    start = f'%load_ext shadownb\nimport shadownb as snb\nmodel = snb.load("{tiny_model_dir}", dtype="float32")'
    # Left alone the tiny model is through a step, and writes a token, faster than a page can be looked at.
    start += "\nimport time\n_ = model.module.get_input_embeddings().register_forward_hook(lambda *_: time.sleep(0.03))"
    return lab.open(page, "studio", start, "studio = snb.Studio()\nstudio", 'print("x")', "")


def test_train_watch_chat_and_come_back(notebook: Notebook, photograph: Photograph) -> None:
    notebook.execute(0)
    expect(notebook.output(0).filter(has_text=re.compile("^Loaded .* million weights"))).to_have_count(1)
    notebook.execute(STUDIO)
    choose_and_start(notebook, photograph)
    watch_and_steer(notebook, photograph)
    chat(notebook, photograph)
    come_back(notebook)


def test_a_panel_of_another_package_is_drawn_in_its_tab_and_answers(lab: Lab, page: Page, tmp_path: Path) -> None:
    """That of the recipe in CONTRIBUTING.md, whose page is JavaScript without a bundle."""
    recipe = RECIPES["panel"][0]
    (lab.root / "recipe_panel.py").write_text(recipe, encoding="utf-8")
    start = "import shadownb as snb\nfrom types import SimpleNamespace\n"
    start += 'snb.registry.register("panel", "steps", "recipe_panel:StepsPanel")\nstudio = snb.Studio()\nstudio'
    run = 'studio.panels["steps"]._run = SimpleNamespace(id="a-run", step=2, total_steps=8)'
    notebook = lab.open(page, "recipe", start, run)
    notebook.execute(0)
    studio = notebook.panel(0, "Studio")
    studio.get_by_role("tab", name="Steps", exact=True).click()
    panel = studio.get_by_role("tabpanel", name="Steps", exact=True)
    expect(panel).to_contain_text("No run yet.")
    notebook.execute(1)
    panel.get_by_role("button", name="Read again").click()
    expect(panel).to_contain_text("a-run: step 2 of 8")


def choose_and_start(notebook: Notebook, photograph: Photograph) -> None:
    train = notebook.panel(STUDIO, "Train")
    start = train.locator(".train-go").get_by_role("button")
    expect(start).to_have_text("Choose data")
    expect(train.get_by_role("group", name="Hardware").get_by_role("radio").first).to_be_visible()
    photograph(train, "train-empty")
    train.get_by_role("combobox", name="Data set").select_option(
        label="support-triage: messages to intent, product and urgency"
    )
    expect(train.get_by_role("region", name="Data")).to_contain_text(re.compile(r"chat\s*[\d,]+ rows"))
    # The model that the kernel has is chosen already.
    expect(train.get_by_role("combobox", name="Model", exact=True)).to_have_value("var:model")
    expect(train.get_by_role("region", name="Model")).to_contain_text("Loaded")
    expect(start).to_have_text("Start training")

    method = train.get_by_role("region", name="Method")
    expect(method.get_by_role("radio", name="QLoRA")).to_be_disabled()
    plan = train.get_by_role("region", name="What will run")
    for name in ("Full fine-tuning", "LoRA"):
        method.get_by_role("radio", name=name, exact=True).click()
        expect(plan).to_contain_text(name)
    steps = train.get_by_role("textbox", name="Maximum steps")
    steps.fill("0")
    expect(start).to_have_text("Maximum steps must be at least 1")
    steps.fill("30000")  # more than it takes to look: it is stopped by hand
    train.get_by_role("textbox", name="Gradient accumulation steps").fill("1")
    expect(plan).to_contain_text("30,000 steps of 2 rows")
    expect(start).to_have_text("Start training")
    expect(train.get_by_role("region", name="Estimate")).to_contain_text("GB")
    photograph(train, "train-ready")
    start.click()
    expect(notebook.panel(STUDIO, "Studio").get_by_role("tab", name="Run", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )


def watch_and_steer(notebook: Notebook, photograph: Photograph) -> None:
    run = notebook.panel(STUDIO, "Run")
    wait_for_points(run, "n > 5")
    before = count_points(run)
    notebook.execute(OTHER)
    expect(notebook.output(OTHER)).to_have_text("x\n")
    wait_for_points(run, f"n > {before}")
    photograph(run, "run-running")

    before = count_points(run)
    notebook.reload()
    wait_for_points(run, f"n >= {before}")
    wait_for_points(run, f"n > {before}")
    run.get_by_role("button", name="Pause").click()
    expect(run.get_by_role("button", name="Resume")).to_be_visible()
    stopped_at = recorded_points(notebook)
    wait_for_points(run, f"n === {stopped_at}")
    notebook.reload()
    wait_for_points(run, f"n === {stopped_at}")
    run.get_by_role("button", name="Resume").click()
    wait_for_points(run, f"n > {stopped_at}")

    run.get_by_role("button", name="Stop", exact=True).click()
    run.get_by_role("group", name="Stop this run?").get_by_role("button", name="Stop and save").click()
    expect(run.get_by_role("status").first).to_have_text("Stopped, saved")
    wait_for_points(run, f"n === {recorded_points(notebook)}")
    photograph(run, "run-finished")
    expect(notebook.output(SCRATCH)).to_have_count(1)
    expect(notebook.output(OTHER)).to_have_text("x\n")  # nothing of the training landed there


def recorded_points(notebook: Notebook) -> int:
    """Return the number of training steps that the run's journal holds, as a cell prints it."""
    return int(notebook.run(SCRATCH, 'print(sum("loss" in row for row in studio.run.metrics))').inner_text())


def chat(notebook: Notebook, photograph: Photograph) -> None:
    notebook.panel(STUDIO, "Studio").get_by_role("tab", name="Chat", exact=True).click()
    panel = notebook.panel(STUDIO, "Chat")
    message = panel.get_by_role("textbox", name="Message")
    message.fill("My parcel never came. What now?")
    message.press("Enter")
    tuned = panel.get_by_role("article", name="Tuned answer").last
    base = panel.get_by_role("article", name="Base answer").last
    seen_while_written(tuned)
    expect(tuned).to_contain_text("tokens/s")
    expect(base).to_contain_text("tokens/s")
    texts = [side.locator(".chat-text").inner_text() for side in (tuned, base)]
    assert all(texts)
    assert texts[0] != texts[1]
    expect(panel).to_contain_text("Base untouched")
    panel.get_by_role("log").press("Home")
    photograph(panel, "chat-answers")

    message.fill("And once more, in all detail.")
    panel.get_by_role("button", name="Send").click()
    seen_while_written(tuned)
    panel.get_by_role("button", name="Stop", exact=True).click()
    expect(panel.get_by_role("button", name="Send")).to_be_visible()
    expect(tuned).to_contain_text("stopped, ")
    expect(base).to_contain_text("stopped before it began")


def seen_while_written(answer: Locator) -> None:
    """Wait until the text of an answer has grown twice on the page, while it is still being written."""
    sizes: list[int] = []
    expect(answer).to_have_attribute("aria-busy", "true")
    element = answer.element_handle()
    assert element is not None
    for _ in range(2):
        longer = "([answer, than]) => { const n = answer.querySelector('.chat-text').textContent.length; return n > than && n }"
        than = sizes[-1] if sizes else 0
        sizes.append(answer.page.wait_for_function(longer, arg=[element, than]).json_value())
    assert sizes[0] < sizes[1]


def come_back(notebook: Notebook) -> None:
    run_id = notebook.run(SCRATCH, "print(studio.run.id)").inner_text().strip()
    notebook.save()
    notebook.restart_kernel()
    notebook.reload()
    picture = notebook.output(STUDIO).locator("img")  # JupyterLab gives pictures no name
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    described = "image => [image.naturalWidth, atob(image.src.split('base64,')[1])]"
    width, content = picture.evaluate(described)
    assert width > 600
    assert f"ShadowNB run {run_id}" in content
