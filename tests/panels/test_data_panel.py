"""DataPanel on real files, rows and a real model: what was opened, mapped, changed and split is what is trained on."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press, wait_for

import shadownb as snb
from shadownb.engine.data import mappings

HEADERS = ("Kundennachricht", "Antwort des Teams", "Eingang", "Kunde-Nr")


def row_of(number: int) -> tuple[str, ...]:
    return (
        f"Wo bleibt mein Paket mit der Nummer {number}?",
        f"Es kommt in {number} Tagen bei Ihnen an.",
        f"2026-01-{number + 1:02}",
        str(number % 4),
    )


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CSV with headers that nothing knows, one row twice, in the notebook's folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "nachrichten.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([HEADERS, *(row_of(n) for n in range(20)), row_of(3)])
    return path


@pytest.fixture
def panel(table: Path) -> Iterator[Any]:
    made = snb.DataPanel(namespace={})
    yield made
    made.close()


def opened(panel: Any, table: Path) -> None:
    press(panel, "open", choice=f"file:{table.name}")
    assert panel.source["stage"] == "ready", panel.source
    press(panel, "map_as_suggested")
    assert panel.error == {}


def runs_as_it_is(panel: Any) -> dict[str, Any]:
    """Run the cell that the panel shows, and return its variables."""
    names: dict[str, Any] = {}
    exec(panel.code["python"], names)
    return names


def test_a_table_with_any_headers_is_suggested_mapped_and_remembered(panel: Any, table: Path) -> None:
    press(panel, "open", choice=f"file:{table.name}")
    assert panel.reading["raw"] and panel.page["all"] == 21
    told = {name: (target, why) for name, target, why in panel.reading["suggestion"]["columns"]}
    assert {name: target for name, (target, _) in told.items()} == {HEADERS[0]: "prompt", HEADERS[1]: "completion"}
    assert "nachricht" in told[HEADERS[0]][1]
    assert panel.reading["suggestion"]["preview"][0][0] == {"role": "user", "text": row_of(0)[0]}
    press(panel, "map_as_suggested")
    assert panel.reading["format"] == "instruction" and panel.parts[0]["valid"] == 21
    assert panel.page["rows"][0]["parts"][1] == {"role": "assistant", "text": row_of(0)[1]}
    assert runs_as_it_is(panel)["data"].fingerprint == panel.dataset.fingerprint

    other = table.with_name("mai.csv")  # the same headers in another order
    with other.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADERS[::-1], row_of(7)[::-1]])
    press(panel, "open", choice="file:mai.csv")
    assert panel.reading["format"] == "instruction" and "was read before" in panel.told
    assert panel.steps[0]["title"].startswith("Columns as on ") and panel.reading["remembered"]
    press(panel, "undo")
    assert panel.reading["raw"] and panel.undone == 1
    press(panel, "redo")
    press(panel, "forget_columns")
    assert mappings.remembered(HEADERS) is None and panel.reading["remembered"] is None
    press(panel, "open", choice="file:mai.csv")
    assert panel.reading["raw"] and panel.steps == []


def test_rows_are_found_changed_and_taken_out_and_each_step_goes_back(panel: Any, table: Path) -> None:
    opened(panel, table)
    before = table.read_bytes()
    press(panel, "dedupe")
    assert len(panel.dataset) == 20 and panel.steps[-1]["rows"] == "21 to 20 rows"
    press(panel, "dedupe")
    assert panel.told == "No row repeats an earlier one, word for word." and len(panel.steps) == 2
    press(panel, "find", text="NUMMER 1")
    assert (panel.page["total"], panel.page["begin"], panel.page["asked"]) == (11, 0, {"text": "NUMMER 1"})
    press(panel, "turn", begin=10)
    assert [row["index"] for row in panel.page["rows"]] == [19]
    press(panel, "keep_found", inverse=True)
    assert len(panel.dataset) == 9 and panel.page["total"] == 9 and "{" not in panel.steps[-1]["title"]
    press(panel, "edit", index=2)
    assert panel.row["fields"][1]["text"] == row_of(3)[1]
    press(panel, "save_row", texts=[[["Antwort des Teams"], 'Es kam an: {"data"} \x00data\x00 {data}']])
    assert panel.row == {} and panel.dataset.rows[2]["Antwort des Teams"].startswith("Es kam an")
    press(panel, "edit", index=0)
    press(panel, "save_row", json="{broken")
    assert "not valid JSON" in panel.error["what"] and panel.row["index"] == 0  # what was typed is not lost
    press(panel, "shut_row")
    press(panel, "remove", rows=[0, 1])
    assert len(panel.dataset) == 7
    assert runs_as_it_is(panel)["data"].rows == panel.dataset.rows
    press(panel, "find", min_characters="5", max_characters="2")
    assert "min_characters=5" in panel.error["what"]
    for left in (9, 9, 20, 21):
        press(panel, "undo")
        assert len(panel.dataset) == left
    press(panel, "undo")
    assert panel.reading["raw"] and panel.undone == 5 and table.read_bytes() == before


def test_a_split_keeps_sources_apart_and_leaks_are_found_and_taken_out(panel: Any, table: Path) -> None:
    opened(panel, table)
    press(panel, "split", how="group", share="0.25", column="Kunde-Nr", seed="1")
    assert [part["id"] for part in panel.parts] == ["train", "held_out"] and panel.error == {}
    sides = [{row["Kunde-Nr"] for row in part.rows} for part in (panel.dataset, panel.held_out)]
    assert not sides[0] & sides[1] and panel.leaks["stage"] == "ready"
    press(panel, "split")
    assert "split already" in panel.error["what"]
    press(panel, "undo")
    press(panel, "split", how="time", share=5, column="Eingang")
    assert min(row["Eingang"] for row in panel.held_out.rows) > max(row["Eingang"] for row in panel.dataset.rows)
    press(panel, "undo")
    press(panel, "split", how="time", column="Kundennachricht")
    assert "no time that can be read" in panel.error["what"] and not panel.working
    seed = next(  # the twins on both sides
        seed
        for seed in range(40)
        if any(row["Eingang"] == "2026-01-04" for row in panel.dataset.split(0.3, seed=seed)[1])
        and any(row["Eingang"] == "2026-01-04" for row in panel.dataset.split(0.3, seed=seed)[0])
    )
    press(panel, "split", share="0.3", seed=seed)
    same = [text for text in panel.leaks["rows"] if "is the same as" in text]
    assert len(same) == 1 and panel.leaks["count"] >= 1
    held = len(panel.held_out)
    press(panel, "leave_leaks")
    assert len(panel.held_out) < held and panel.leaks["count"] == 0
    names = runs_as_it_is(panel)
    assert names["train"].rows == panel.dataset.rows and names["held_out"].rows == panel.held_out.rows


def test_the_result_is_saved_where_the_user_says_and_never_over_the_source(panel: Any, table: Path) -> None:
    opened(panel, table)
    press(panel, "save", path=table.name, replace=True)
    assert "stays as it is" in panel.error["what"]
    press(panel, "save", path="kept")
    assert "names no file" in panel.error["what"]
    press(panel, "split", share="5")
    press(panel, "save", path="kept.jsonl")
    assert panel.told == "Saved 16 rows to kept.train.jsonl and 5 rows to kept.held_out.jsonl."
    assert len(snb.Dataset.load("kept.held_out.jsonl").read_like(**reading_of(panel))) == 5
    press(panel, "save", path="kept.jsonl")
    assert "exists already" in panel.error["what"]
    press(panel, "name", name="messages")
    assert panel._namespace["messages"] is panel.dataset and panel._namespace["messages_held_out"] is panel.held_out
    press(panel, "undo")
    press(panel, "name", name="messages")
    assert "holds something already" in panel.error["what"]


def reading_of(panel: Any) -> dict[str, Any]:
    return {"columns": dict(panel.dataset.reading.columns), "ignore": list(panel.dataset.reading.ignore)}


def test_what_is_refused_is_counted_with_reasons(panel: Any, tmp_path: Path) -> None:
    rows = [
        {"prompt": "Say 1.", "completion": "1"},
        {"prompt": "Say 2.", "completion": ""},
        {"prompt": "Say 3.", "completion": ""},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "broken\n")
    press(panel, "open", choice="file:rows.jsonl")
    assert (
        panel.parts[0]["valid"] == 1
        and sum(count for _, count in panel.reading["counts"]) == panel.reading["bad_count"] == 3
    )
    assert panel.page["rows"][1]["bad"] != ""
    press(panel, "leave_unusable")
    assert len(panel.dataset) == 1 and runs_as_it_is(panel)["data"].rows == rows[:1]
    press(panel, "remove", rows=[0])
    assert "would be left" in panel.error["what"] and len(panel.dataset) == 1


def test_a_file_that_the_page_sends_lies_in_the_notebooks_folder(panel: Any, table: Path) -> None:
    content = table.read_bytes() * 2
    size = len(content)

    def send(at: int, piece: bytes, name: str = "nachrichten.csv", size: int = size) -> None:
        panel._handle_custom_msg(
            {"kind": "upload", "id": "u", "name": name, "size": size, "at": at}, [memoryview(piece)]
        )
        assert panel.settle()

    send(0, content[:100])
    assert (panel.upload["done"], panel.upload["size"]) == (100, size)
    send(300, content[300:])
    assert "missing" in panel.upload["error"]["what"] and sorted(path.name for path in table.parent.glob("*.csv")) == [
        table.name
    ]
    send(0, content)
    # Another file has the name, and stays as it is.
    assert (
        table.with_name("nachrichten-1.csv").read_bytes() == content
        and panel.source["choice"] == "file:nachrichten-1.csv"
    )
    send(0, b"x", name="../../virus.exe")
    assert "not read" in panel.upload["error"]["what"]
    send(0, b"x", name="rows.csv", size=10**9)
    assert "at most 64 MB" in panel.upload["error"]["what"]
    press(panel, "browse")
    names = [entry["name"] for entry in panel.listing["entries"]]
    assert "nachrichten-1.csv" in names and "nachrichten.csv" in names
    press(panel, "browse", folder="no-such-folder")
    assert "cannot be listed" in panel.error["what"]
    press(panel, "open", choice="file:no-such-file.csv")
    assert panel.source["stage"] == "failed" and "No file" in panel.source["error"]["what"]


def test_without_the_hub_the_panel_says_so(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for constants in ("huggingface_hub.constants", "datasets.config"):  # without a network they try for a minute
        monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", True)
    press(panel, "search_hub", query="support tickets")
    assert panel.hub["stage"] == "failed" and panel.hub["error"]["code"] == "data-offline"
    press(panel, "open_hub", repo="owner/rows", limit="ten")
    assert "no number of rows" in panel.error["what"]
    press(panel, "open_hub", repo="owner/rows", split="test", limit="10")
    assert panel.source["stage"] == "failed" and panel.source["error"]["code"] == "data-offline"


def test_tokens_are_counted_for_the_model_and_its_template_is_certified(
    home: Path, byte_model_dir: Path, table: Path
) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    panel = snb.DataPanel(table.name, model, namespace={"model": model})
    try:
        assert panel.settle(120)
        press(panel, "map_as_suggested")
        assert panel.tokens["stage"] == "ready" and sum(count for _, _, count in panel.tokens["bins"]) == 21
        assert panel.certificate["stage"] == "ready" and panel.model == "var:model"
        longest = dict(panel.tokens["figures"])["tokens a row"].split(" to ")[1]
        press(panel, "find", min_tokens=longest)
        assert 0 < panel.page["total"] < 21
        press(panel, "keep_found")
        assert len(panel.dataset) == panel.page["all"] < 21
        names = {"model": model}
        exec(panel.code["python"], names)
        assert names["data"].rows == panel.dataset.rows  # type: ignore[attr-defined]
    finally:
        panel.close()


def test_in_studio_the_rows_are_trained_on_and_named(home: Path, table: Path) -> None:
    studio = snb.Studio(namespace={})
    try:
        press(studio.data, "open", choice=f"file:{table.name}")
        press(studio.data, "map_as_suggested")
        press(studio.data, "split", share="5")
        press(studio.data, "use")
        assert studio.settle() and studio.tab == "train" and studio.data.error == {}
        train = studio.train
        wait_for(train, "eval_state", lambda state: state.get("stage") == "ready")
        assert train.dataset is studio.data.dataset and train.eval_state["rows"] == 5
        assert train.data_state["choice"] == "var:snb.Studio.newest().data.dataset"
    finally:
        studio.close()


def test_the_hub_is_searched_by_words_of_names(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a server that answers as the hub's list of data sets does."""
    asked: list[str] = []
    entry = {
        "_id": "1",
        "id": "owner/tickets",
        "downloads": 12,
        "likes": 3,
        "gated": "auto",
        "private": False,
        "tags": [],
    }

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps([entry]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        press(panel, "search_hub", query="tickets")
        server.shutdown()
    assert panel.hub["stage"] == "ready", panel.hub
    assert [(each["repo"], each["downloads"], each["gated"]) for each in panel.hub["found"]] == [
        ("owner/tickets", 12, True)
    ]
    assert "search=tickets" in asked[0] and "sort=downloads" in asked[0]
