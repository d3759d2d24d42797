"""From nothing to a chat that answers as trained, and the same again from a fresh base, with real clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Lab, Notebook

START, STUDIO, SCRATCH = 0, 1, 2
Photograph = Callable[[Locator, str], None]

# One word for every question, so that a tiny model learns it in a moment; trained whole, so that its base is read again.
SETUP = """import shadownb as snb
model = snb.load("{model}", dtype="float32")
SYSTEM = "You sort messages of a shop. Answer with one label in capitals and nothing else."
rows = [
    {{"messages": [
        {{"role": "system", "content": SYSTEM}},
        {{"role": "user", "content": f"Message {{n}}: where is my parcel?"}},
        {{"role": "assistant", "content": "PARCEL"}},
    ]}}
    for n in range(40)
]"""


@pytest.fixture
def notebook(lab: Lab, page: Page, tiny_model_dir: Path) -> Notebook:
    return lab.open(page, "as-trained", SETUP.format(model=str(tiny_model_dir)), "snb.Studio()", "")


def test_train_chat_as_trained_and_train_again_from_a_fresh_base(notebook: Notebook, photograph: Photograph) -> None:
    notebook.execute(START)
    notebook.run(STUDIO, "studio = snb.Studio()\nstudio")
    train = notebook.panel(STUDIO, "Train")
    choose(train)
    start = train.locator(".train-go").get_by_role("button")
    expect(start).to_have_text("Start training")
    start.click()
    finished(notebook)
    chat_as_trained(notebook, photograph)
    train_again(notebook, photograph)


def chat_as_trained(notebook: Notebook, photograph: Photograph) -> None:
    studio, chat = notebook.panel(STUDIO, "Studio"), notebook.panel(STUDIO, "Chat")
    studio.get_by_role("tab", name="Chat", exact=True).click()
    system = chat.get_by_role("textbox", name="System prompt")
    expect(system).to_have_value(re.compile("^You sort messages of a shop"))
    expect(chat).to_contain_text("As trained: all 36 rows.")
    ask(chat, "Message 100: where is my parcel?")
    expect(chat.get_by_role("article", name="Tuned answer").last.locator(".chat-text")).to_have_text("PARCEL")
    expect(chat.get_by_role("article", name="Base answer").last).not_to_contain_text("PARCEL")
    tries = chat.get_by_role("region", name="Try a row")
    expect(tries).to_contain_text("held-out rows of rows.test")
    tries.get_by_role("button", name="Next").click()
    expect(tries).to_contain_text("2 of 4")
    tries.get_by_role("button", name="Ask this row").click()
    expect(chat.get_by_role("article", name="The row's answer").locator(".chat-text")).to_have_text("PARCEL")
    expect(chat.get_by_role("article", name="Tuned answer").last).to_contain_text("✓ as expected")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    chat.get_by_role("log").press("End")
    photograph(studio, "as-trained-chat")

    system.fill("Be friendly.")
    system.press("Tab")
    expect(chat.get_by_role("note")).to_contain_text("Asked behind another system prompt than any row")
    photograph(studio, "as-trained-other-prompt")
    chat.get_by_role("button", name="As trained").click()
    expect(system).to_have_value(re.compile("^You sort messages of a shop"))


def train_again(notebook: Notebook, photograph: Photograph) -> None:
    studio, train = notebook.panel(STUDIO, "Studio"), notebook.panel(STUDIO, "Train")
    start = train.locator(".train-go").get_by_role("button")
    studio.get_by_role("tab", name="Train", exact=True).click()
    expect(start).to_have_text("Train again from the base")
    begin = train.get_by_role("group", name="Start from")
    expect(begin.get_by_role("radio", name="The fresh base")).to_be_checked()
    photograph(train, "as-trained-start")
    begin.get_by_role("radio", name=re.compile("^Train on from step")).click()
    expect(start).to_have_text("Train the tuned model on")
    expect(train.get_by_role("region", name="What will run")).to_contain_text(re.compile("Starts from.*step 80 of run"))
    begin.get_by_role("radio", name="The fresh base").click()
    expect(start).to_have_text("Train again from the base")
    start.click()
    finished(notebook)
    shown = notebook.run(SCRATCH, "print([run.started_from for run in snb.runs.list()][:2])")
    expect(shown).to_have_text("['the base', 'the base']\n")
    photograph(notebook.panel(STUDIO, "Run"), "as-trained-run")
    studio.get_by_role("tab", name="Train", exact=True).click()
    begin.get_by_role("button", name="Load a fresh copy").click()
    expect(train.get_by_role("combobox", name="Model", exact=True)).to_have_value("copy:model")
    expect(begin.get_by_role("radio")).to_have_count(1)
    answered = notebook.run(SCRATCH, "print(model.trained is not None, studio.model.trained)")
    expect(answered).to_have_text("True None\n")


def choose(train: Locator) -> None:
    train.get_by_role("combobox", name="Data set").select_option("var:rows")
    train.get_by_role("combobox", name="Model", exact=True).select_option("var:model")
    train.get_by_role("region", name="Method").get_by_role("radio", name="Full fine-tuning", exact=True).click()
    for name, value in (("Maximum steps", "80"), ("Learning rate", "0.01")):
        train.get_by_role("textbox", name=name).fill(value)
        train.get_by_role("textbox", name=name).press("Tab")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("80 steps")
    expect(train.get_by_role("region", name="What will run")).to_contain_text(re.compile("Starts from\\s*the base"))


def finished(notebook: Notebook) -> None:
    expect(notebook.panel(STUDIO, "Run").get_by_role("status").first).to_have_text("Finished")


def ask(chat: Locator, text: str) -> None:
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    chat.get_by_role("textbox", name="Message").fill(text)
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_role("article", name="Tuned answer").last).to_contain_text("tokens")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
