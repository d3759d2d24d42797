"""The data room by clicks: a table with odd headers is mapped, mended, split, and trained on in Studio."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Lab, Notebook
from .looks import AXE, violations

STUDIO = 0
HEADERS = ("Kundennachricht", "Antwort des Teams", "Eingang")
Photograph = Callable[[Locator, str], None]


@pytest.fixture
def notebook(lab: Lab, page: Page) -> Notebook:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    rows = [
        (f"Wo bleibt mein Paket Nummer {n}?", f"Es kommt in {n} Tagen an.", f"2026-01-{n + 1:02}") for n in range(24)
    ]
    with (lab.root / "nachrichten.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADERS, *rows, rows[5]])
    opened = lab.open(page, "data", "import shadownb as snb\nstudio = snb.Studio()\nstudio", "")
    opened.execute(STUDIO)
    return opened


def test_a_table_with_odd_headers_is_mapped_split_and_trained_on(notebook: Notebook, photograph: Photograph) -> None:
    studio = notebook.panel(STUDIO, "Studio")
    studio.get_by_role("tab", name="Data", exact=True).click()
    data = studio.get_by_role("tabpanel", name="Data", exact=True).get_by_role("region", name="Data", exact=True).first
    expect(data.get_by_role("combobox", name="Data set")).to_be_visible()
    photograph(data, "data-empty")
    assert violations(data) == []

    data.get_by_text("A file here", exact=True).click()
    data.get_by_role("textbox", name="Path of a file").fill("no-such-file.csv")
    data.get_by_role("button", name="Open", exact=True).click()
    expect(data.get_by_role("alert")).to_contain_text("No file 'no-such-file.csv'")
    photograph(data, "data-failed")
    assert violations(data) == []
    data.get_by_role("button", name="Browse").click()
    data.get_by_role("button", name="nachrichten.csv").click()

    suggested = data.get_by_role("region", name="Suggested columns")
    expect(suggested.get_by_role("row", name=HEADERS[0])).to_contain_text("prompt")
    expect(suggested).to_contain_text("25 of 25 rows can be used")
    photograph(data, "data-suggested")
    assert violations(data) == []
    suggested.get_by_role("button", name="Read them so").click()
    expect(suggested).to_have_count(0)
    rows = data.get_by_role("table", name="Rows of the page")
    expect(rows.get_by_role("row").nth(1)).to_contain_text("assistant")

    data.get_by_text("Repeated rows", exact=True).click()
    data.get_by_role("button", name="Take out repeated rows").click()
    expect(data.get_by_role("region", name="Steps")).to_contain_text("25 to 24 rows")
    data.get_by_role("button", name="Edit row 3").click()
    editor = data.get_by_role("article", name="Row to edit")
    editor.get_by_role("textbox", name=HEADERS[1]).fill("Es ist schon da.")
    editor.get_by_role("button", name="Change the row").click()
    expect(editor).to_have_count(0)
    expect(rows).to_contain_text("Es ist schon da.")
    data.get_by_text("Hold rows out", exact=True).click()
    data.get_by_text("By time", exact=True).click()
    data.get_by_role("combobox", name="Column").select_option(HEADERS[2])
    data.get_by_role("textbox", name="How many").fill("4")
    data.get_by_role("button", name="Split", exact=True).click()
    expect(data.get_by_role("region", name="Leakage")).to_contain_text("4 held-out rows against 20 training rows")
    photograph(data, "data-split")
    assert violations(data) == []

    data.get_by_role("button", name="Train on these").click()
    expect(studio.get_by_role("tab", name="Train", exact=True)).to_have_attribute("aria-selected", "true")
    train = (
        studio.get_by_role("tabpanel", name="Train", exact=True).get_by_role("region", name="Data", exact=True).first
    )
    expect(train).to_contain_text("20 rows")
    expect(train).to_contain_text("4 rows")
    # The notebook calls the rows what the code in Train calls them.
    output = notebook.run(1, "print(len(studio.data.dataset), len(studio.data.held_out), studio.data.dataset.rows[1])")
    expect(output.first).to_contain_text("20 4")
    expect(output.first).to_contain_text("Es ist schon da.")


def test_tokens_of_a_model_and_a_file_of_this_computer(
    lab: Lab, page: Page, byte_model_dir: Path, photograph: Photograph
) -> None:
    start = f'import shadownb as snb\nmodel = snb.load("{byte_model_dir}", dtype="float32")\nsnb.DataPanel(model=model)'
    notebook = lab.open(page, "data-tokens", start)
    notebook.execute(0)
    data = notebook.panel(0, "Data")
    data.get_by_text("A file of my computer", exact=True).click()
    lines = "".join(f'{{"prompt": "Say {n}.", "completion": "{"It is " * n}{n}."}}\n' for n in range(30)) + "broken\n"
    content = lines.encode() + b"\n" * 1_200_000  # more than one piece
    data.get_by_label("File to send").set_input_files(
        {"name": "sent.jsonl", "mimeType": "text/plain", "buffer": content}
    )
    expect(data.get_by_role("heading", name="Tokens")).to_be_visible()
    assert (lab.root / "sent.jsonl").read_bytes() == content
    expect(data.get_by_role("img", name="Rows by tokens")).to_be_visible()
    expect(data).to_contain_text("1 row can't be used")
    data.get_by_text("Chat template", exact=False).first.click()
    expect(data.get_by_role("table", name="Template certificate")).to_be_visible()
    photograph(data, "data-tokens")
    assert violations(data) == []
