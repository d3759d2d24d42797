"""A finished job by clicks in a bare Studio: from nothing to a served model, and from recorded calls to a training."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Lab, Notebook
from .looks import AXE, violations

STUDIO = 0
# Held to one of two words, a model that knows nothing comes to an end, and its answer can be trained on.
FORM = {"type": "json_schema", "json_schema": {"name": "label", "schema": {"enum": ["BOX", "CASH"]}}}
Photograph = Callable[[Locator, str], None]
SYSTEM = "You sort messages of a shop. Answer with one label in capitals and nothing else."

# An answer that broke off is never trained on, and a random model ends none by itself.
_FORM = {"name": "label", "strict": True, "schema": {"type": "string", "enum": ["PARCEL", "MONEY"]}}
WHOLE = {"type": "json_schema", "json_schema": _FORM}


class Bench:
    """The Studio of the page as a person finds their way in it: by tabs, and panels by their names."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.studio = notebook.panel(STUDIO, "Studio")

    def open(self, tab: str) -> Locator:
        """Open a tab and return its panel."""
        self.studio.get_by_role("tab", name=tab, exact=True).click()
        return self.panel(tab)

    def panel(self, tab: str) -> Locator:
        return (
            self.studio.get_by_role("tabpanel", name=tab, exact=True).get_by_role("region", name=tab, exact=True).first
        )

    def is_at(self, tab: str) -> Locator:
        """Wait until a tab is open, because of a button elsewhere; return its panel."""
        expect(self.studio.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
        return self.panel(tab)

    def next(self, button: str) -> None:
        """Press a button of the run's row of what comes next."""
        self.open("Run").get_by_role("region", name="What next").get_by_role("button", name=button, exact=True).click()


@pytest.fixture
def bench(lab: Lab, page: Page, tmp_path: Path) -> Bench:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    told = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Message {n}: where is my parcel?"},
        {"role": "assistant", "content": "PARCEL"},
    ]
    rows = [{"messages": [{**m, "content": m["content"].replace("{n}", str(n))} for m in told]} for n in range(40)]
    (lab.root / "messages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    # A home in which nobody has trained yet: there the first steps are shown.
    home = f"import os\nos.environ['SHADOWNB_HOME'] = {str(tmp_path / 'home')!r}\n"
    notebook = lab.open(page, "workbench", f"{home}import shadownb as snb\nsnb.Studio()")
    notebook.execute(STUDIO)
    return Bench(notebook)


@pytest.mark.timeout(900)  # six panels, one after the other: a minute where nothing else runs
def test_a_job_from_nothing_to_a_served_model(bench: Bench, tiny_model_dir: Path, photograph: Photograph) -> None:
    train_by_clicks(bench, tiny_model_dir, photograph)
    watch(bench, photograph)
    chat(bench)
    evaluate(bench, photograph)
    export(bench, photograph)
    serve(bench)


@pytest.mark.timeout(900)
def test_recorded_calls_are_selected_and_trained_on(bench: Bench, tiny_model_dir: Path, photograph: Photograph) -> None:
    load_by_clicks(bench.open("Train"), tiny_model_dir)
    capture(bench, photograph)
    select_and_train(bench, photograph)


def load_by_clicks(train: Locator, model: Path) -> None:
    train.get_by_role("textbox", name="Or a folder or hub id").fill(str(model))
    train.get_by_role("button", name="Use", exact=True).click()
    train.get_by_role("button", name="Load", exact=True).click()
    expect(train.get_by_role("region", name="Model", exact=True)).to_contain_text("Loaded")


def train_by_clicks(bench: Bench, model: Path, photograph: Photograph) -> None:
    train = bench.open("Train")
    train.get_by_role("textbox", name="Or a file").fill("messages.jsonl")
    train.get_by_role("button", name="Open", exact=True).click()
    expect(train.get_by_role("region", name="Data")).to_contain_text("40 rows")
    load_by_clicks(train, model)
    expect(bench.studio.get_by_role("region", name="First steps")).to_contain_text("Go to Start")
    train.get_by_role("combobox", name="Begin with a task").select_option("extract-json")
    expect(train.get_by_role("region", name="Task")).to_contain_text("Blanks and the order of keys do not count")
    train.get_by_text("All models: what fits, disk and memory").click()
    expect(train.get_by_role("region", name="Catalogue")).to_contain_text("SmolLM2 135M Instruct")
    photograph(bench.studio, "workbench-train")
    assert violations(bench.studio) == []
    # Whole, because a random model with a frozen table of tokens does not learn where to stop.
    train.get_by_role("region", name="Method").get_by_role("radio", name="Full fine-tuning", exact=True).click()
    for name, value in (("Maximum steps", "80"), ("Learning rate", "0.01")):
        train.get_by_role("textbox", name=name).fill(value)
        train.get_by_role("textbox", name=name).press("Tab")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("80 steps")
    start = train.locator(".train-go").get_by_role("button")
    expect(start).to_have_text("Start training")
    start.click()


def watch(bench: Bench, photograph: Photograph) -> None:
    run = bench.is_at("Run")
    expect(run.get_by_role("status").first).to_have_text("Finished")
    expect(run.get_by_role("region", name="What next").get_by_role("button").first).to_be_visible()
    expect(run.get_by_role("columnheader", name="Expected")).to_be_visible()
    expect(run.get_by_role("columnheader", name="Before training (the base)")).to_be_visible()
    expect(run).to_contain_text("✓ as expected")
    photograph(run, "workbench-run")
    assert violations(run) == []
    run.get_by_role("tab", name="Checkpoints").click()
    run.get_by_role("button", name="Compare by held-out loss").click()
    expect(run.get_by_role("columnheader", name="Held-out loss")).to_be_visible()
    expect(run.get_by_role("progressbar", name=re.compile("^Measured"))).to_have_count(0)
    photograph(run, "workbench-checkpoints")
    assert violations(run) == []


def chat(bench: Bench) -> None:
    """Asked as it was trained the model says what it learned, and its base does not."""
    bench.next("Chat")
    chat = bench.is_at("Chat")
    expect(chat.get_by_role("textbox", name="System prompt")).to_have_value(SYSTEM)
    chat.get_by_role("textbox", name="Message").fill("Message 100: where is my parcel?")
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_role("article", name="Tuned answer").locator(".chat-text")).to_have_text("PARCEL")
    expect(chat.get_by_role("article", name="Base answer")).not_to_contain_text("PARCEL")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()


def evaluate(bench: Bench, photograph: Photograph) -> None:
    bench.next("Evaluate")
    panel = bench.is_at("Evaluate")
    expect(panel.get_by_role("checkbox", name="held-out", exact=True)).to_be_checked()
    panel.get_by_role("button", name="Evaluate", exact=True).click()
    expect(panel.get_by_role("region", name="Evaluation", exact=True)).to_contain_text("complete")
    # Every answer of the tuned model is right and none of the base's; four rows are too few to be sure of it.
    expect(panel.get_by_role("region", name="What changed")).to_contain_text("to +100.0, 4 items")
    photograph(panel, "workbench-evaluated")


def export(bench: Bench, photograph: Photograph) -> None:
    bench.next("Push to hub")
    panel = bench.is_at("Export")
    expect(panel.get_by_role("radio", name=re.compile("^Export merged"))).to_have_count(2)
    expect(panel.locator("input[name=export-format]:checked")).to_have_attribute("aria-label", re.compile("merged"))
    panel.get_by_role("textbox", name="Folder", exact=True).fill("workbench-merged")
    panel.get_by_role("button", name="Export", exact=True).click()
    report = panel.get_by_role("region", name="Report")
    expect(report).to_be_visible()
    push = report.get_by_role("region", name="Push to hub")
    expect(push.get_by_role("button", name="Send")).to_be_disabled()
    push.get_by_role("textbox", name="Repository").fill("me/messages")
    push.get_by_role("button", name="Show what would be sent").click()
    expect(push.get_by_role("status")).to_contain_text("would go to me/messages, which is private")
    expect(push.get_by_role("button", name="Send")).to_be_enabled()
    photograph(panel, "workbench-push")
    assert violations(panel) == []


def serve(bench: Bench) -> None:
    bench.next("Serve")
    panel = bench.is_at("Serve")
    expect(panel.get_by_role("combobox", name="Model", exact=True)).to_have_value(re.compile(r"^var:.*\.model$"))
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel.get_by_text("1 running.")).to_be_visible()
    panel.get_by_role("textbox", name="Question").fill("Message 7: where is my parcel?")
    panel.get_by_role("button", name="Ask them").click()
    expect(panel.locator(".serve-answer").first).to_be_visible()
    panel.get_by_role("button", name=re.compile("^Stop ")).click()
    expect(panel.get_by_text("No server runs.")).to_be_visible()


def capture(bench: Bench, photograph: Photograph) -> None:
    """The model of the Studio answers a client that was pointed at the recording."""
    panel = bench.open("Capture")
    panel.get_by_role("textbox", name="Base URL of the model's API").fill("")
    panel.get_by_role("textbox", name="Base URL of the model's API").press("Tab")
    model = panel.get_by_role("combobox", name="Loaded model")
    model.select_option(index=1)
    panel.get_by_role("button", name="Start recording").click()
    expect(panel.get_by_role("button", name="Stop recording")).to_be_visible()
    panel.get_by_text("openai client", exact=True).click()
    copy = panel.get_by_role("button", name="Copy openai client, with the token")
    copy.click()
    expect(copy).to_have_text("Copied")
    code = bench.notebook.page.evaluate("navigator.clipboard.readText()")
    url, token = re.findall(r'"([^"]+)"', code)
    client = httpx.Client(base_url=f"{url}/", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    names = [each["id"] for each in client.get("models").raise_for_status().json()["data"]]
    for number in range(6):
        word = "parcel" if number % 2 else "money"
        messages = [{"role": "user", "content": f"Message {number}: where is my {word}?"}]
        asked = {"model": names[0], "messages": messages, "max_tokens": 60, "response_format": FORM}
        client.post("chat/completions", json=asked).raise_for_status()
    client.close()
    expect(panel.get_by_role("region", name="Calls", exact=True)).to_contain_text("6 calls")
    panel.get_by_role("button", name="Stop recording").click()
    photograph(panel, "workbench-capture")
    assert violations(panel) == []


def select_and_train(bench: Bench, photograph: Photograph) -> None:
    episodes = bench.open("Trajectories")
    expect(episodes.get_by_role("button", name="Train on these 6 episodes")).to_be_visible()
    search = episodes.get_by_role("searchbox").or_(episodes.get_by_role("textbox", name="Search")).first
    search.fill("parcel")
    search.press("Enter")
    episodes.get_by_role("button", name="Train on these 3 episodes").click()
    train = bench.is_at("Train")
    expect(train.get_by_role("region", name="Data")).to_contain_text("3 rows")
    photograph(train, "workbench-recorded")
    assert violations(train) == []
    train.get_by_role("textbox", name="Maximum steps").fill("2")
    train.get_by_role("textbox", name="Maximum steps").press("Tab")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("2 steps")
    train.locator(".train-go").get_by_role("button").click()
    expect(bench.is_at("Run").get_by_role("status").first).to_have_text("Finished")
