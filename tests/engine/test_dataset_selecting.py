"""Rows kept, taken out, changed and deduplicated; columns suggested by name and by content, and remembered by their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.data import Dataset, mappings
from shadownb.engine.data.suggesting import suggest
from shadownb.errors import ConfigError, DataError

CALL = {"id": "c", "type": "function", "function": {"name": "find_parcel", "arguments": {"number": 7}}}
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Where is my PARCEL?"}, {"role": "assistant", "content": "On its way."}]},
    {
        "messages": [
            {"role": "user", "content": "Find it."},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "in transit"},
            {"role": "assistant", "content": "It is in transit."},
        ]
    },
    {"messages": [{"role": "user", "content": ""}]},
]


def test_a_filter_reads_what_the_canonical_row_says() -> None:
    data = Dataset.from_list(ROWS)
    assert data.filter(text="parcel").numbers == [0, 1]  # the name of a call counts
    assert data.filter(role="tool").numbers == [1]
    assert data.filter(min_characters=20, max_characters=40).numbers == [0]
    assert data.filter(text="parcel", role="tool", inverse=True).numbers == [0, 2]
    assert data.filter(lambda row: len(row["messages"]) == 1).numbers == [2]
    with pytest.raises(DataError, match="would be left"):
        data.filter(text="nobody says this")
    with pytest.raises(ConfigError, match="min_characters=9 is more"):
        data.filter(min_characters=9, max_characters=3)
    with pytest.raises(ConfigError, match="tokens of a model"):
        data.filter(max_tokens=9)


def test_what_is_left_keeps_its_numbers_and_what_was_found_out() -> None:
    data = Dataset.from_list(ROWS)
    assert [bad.row for bad in data.report.bad] == [2]
    left = data.drop([0])
    assert left.numbers == [1, 2] and [bad.row for bad in left.report.bad] == [2] and len(data) == 3
    mended = left.with_row(
        1, {"messages": [*ROWS[2]["messages"], {"role": "user", "content": "Hi"}, ROWS[0]["messages"][1]]}
    )
    assert mended.numbers == [1, 2] and mended.report.total == 2
    for wrong in ([3], [-1], 7):
        with pytest.raises(DataError, match="outside"):
            data.drop(wrong)
    with pytest.raises(DataError, match="would be left"):
        data.drop(range(3))
    with pytest.raises(DataError, match="not a row"):
        data.with_row(0, ["no row"])  # type: ignore[arg-type]


def test_repeated_rows_go_and_the_first_stays() -> None:
    frame = "You answer as the help desk of a shop that sells furniture. "
    texts = [f"{frame}Ticket {n}: the {thing} came broken and I want another one soon." for n, thing in enumerate(
        ("lamp", "sofa", "chair", "desk", "shelf", "bed", "rug", "stool"))]  # fmt: skip
    rows = [{"text": text} for text in texts]
    rows += [{"text": texts[0]}, {"text": texts[1].replace("soon", "very soon")}]
    data = Dataset.from_list(rows)
    assert data.duplicates() == {8: 0}
    # Nearly the same is what beyond the frame, which all have, is nearly the same.
    assert data.duplicates(near=0.5) == {8: 0, 9: 1}
    assert data.dedupe(near=0.5).numbers == list(range(8))
    assert data.dedupe(near=0.5).dedupe(near=0.5).duplicates(near=0.5) == {}
    # One word more at the end of a short question: nearly the same, whatever the answer begins with.
    asked = "My camera is getting terribly hot and smells burnt, and it may catch fire."
    pair = [{"prompt": text, "completion": '{"intent": "repair"}'} for text in (asked, f"{asked} Thanks")]
    assert Dataset.from_list(pair).duplicates(near=0.8) == {1: 0}
    # What has no word is what it is, and not the same as whatever has none.
    signs = [{"prompt": sign, "completion": "ok"} for sign in ("👍", "👎", "👍 ")]
    assert Dataset.from_list(signs).duplicates(near=0.8) == {2: 0}
    with pytest.raises(ConfigError, match=r"near=1\.5"):
        data.dedupe(near=1.5)


@pytest.mark.parametrize(
    ("row", "targets"),
    [
        ({"Kundennachricht": "Wo ist es?", "Antwort des Teams": "Hier."}, ("prompt", "completion")),
        ({"customerQuestion": "Where?", "agentReply": "Here.", "id": "A-17"}, ("prompt", "completion", "")),
        ({"Demande": "Où ?", "Réponse": "Ici."}, ("prompt", "completion")),
        ({"subject": "Lamp", "body": "It came broken.", "queue": "returns"}, ("", "prompt", "completion")),
        ({"text": "It came broken.", "category": "returns"}, ("prompt", "completion")),
        ({"spalte 1": "Wo ist mein Paket geblieben?", "spalte 2": "Unterwegs."}, ("prompt", "completion")),
        ({"Better answer": "Here.", "Worse answer": "No.", "Question": "Where?"}, ("chosen", "rejected", "prompt")),
        ({"when": "2026-01-02", "nr": "17"}, ("", "")),
        ({"prompt": "Where?", "completion": "Here."}, ("", "")),
    ],
)
def test_columns_are_suggested_and_rows_read_so_can_be_used(row: dict[str, Any], targets: tuple[str, ...]) -> None:
    data = Dataset.from_list([{name: f"{value}{n or ''}" for name, value in row.items()} for n in range(3)])
    made = suggest(data)
    told = {name: target for name, target in zip(row, targets, strict=True) if target}
    assert {**made.columns, **dict.fromkeys(made.ignore, "ignore")} == told and set(made.reasons) == set(told)
    if told:
        assert data.read_as(columns=made.columns, ignore=made.ignore).report.ok


def test_what_was_said_of_columns_is_kept_by_their_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "new" / "home"))
    assert mappings.remembered(["a", "b"]) is None
    mappings.remember(["a", "b"], {"a": "prompt", "b": "completion"})
    mappings.remember(["b", "a"], {"b": "prompt", "a": "completion"}, ["c"])
    known = mappings.remembered(["a", "b"])
    assert known is not None and known.columns == {"b": "prompt", "a": "completion"} and known.ignore == ("c",)
    assert len(mappings.everything()) == 1 and mappings.remembered(["a"]) is None
    assert mappings.forget(["b", "a"]) and not mappings.forget(["b", "a"])
    (tmp_path / "new" / "home" / "mappings.json").write_text("{broken")
    assert mappings.everything() == []


def test_a_histogram_holds_every_row_once() -> None:
    from shadownb.engine.data.statistics import TokenStatistics

    found = TokenStatistics(4, 10, 12, 15.0, 20, 20, 60, 8, None, 0, 0, lengths=(10, None, 20, 11, 12))
    assert found.histogram(2) == [(10, 15, 3), (16, 21, 1)] and sum(n for *_, n in found.histogram(100)) == 4
    assert "lengths" not in found.to_dict()
