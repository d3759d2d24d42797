"""What is not read: named, counted, and refusing its row where it holds content; names that a user maps or ignores."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb.engine.data import Dataset
from shadownb.engine.data.unread import LONGEST_LABEL, content_of
from shadownb.errors import DataError
from tests.engine.data_shapes import SHAPES, Shape

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
PAIR = [USER, ANSWER]
CALL = {"name": "f", "arguments": {"a": 1}}


def unread(row: dict[str, Any], **options: Any) -> dict[str, str]:
    return {column.name: column.kind for column in Dataset.from_list([row], **options).report.unread}


# -- the rule ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "a-7"),
        ("conversation_hash", "0123456789abcdef"),
        ("anything", 3),
        ("anything", 0.5),
        ("anything", False),
        ("anything", "12.5"),
        ("anything", "2024-05-01T10:00:00Z"),
        ("anything", "https://example.org/a b".replace(" ", "")),
        ("source", "wiki, page 7"),
        ("Task Type", "Closed QA"),
        ("model_a", "vicuna-13b"),
        ("meta", {"annotator": "anna", "took": 3.5}),
        ("labels", {"name": ["spam", "toxic"], "value": [0.1, 0.0]}),
        ("messages[].created_at", "yesterday"),
        ("tags", ["sea", "pier"]),
        ("train", True),
        ("weight", 1.0),
        ("is_safe", True),
        ("response_is_correct", "yes"),
        ("is_response_0_safe", False),  # of one of two answers
        ("reasoning", "off"),
        ("reward", 0.0),
        ("skip", False),
        ("mask_history", False),
        ("has_history", True),
        ("quality", "high"),
        ("status", "ok"),
        ("rating", "0"),
        ("language", "no"),
        ("anything", None),
        ("anything", {"a": None, "b": []}),
    ],
)
def test_metadata_is_told_and_left(name: str, value: Any) -> None:
    assert content_of(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("notes", "Paris", "text"),
        ("hint", "Think first.", "text"),
        ("source", "x" * (LONGEST_LABEL + 1), "text"),
        ("source", "two\nlines", "text"),
        ("source_text", "short", "text"),
        ("model_answer", "Paris", "text"),
        ("meta", {"comment": "x" * 100}, "text"),
        ("extra_turns", [{"role": "user", "content": "more"}], "text"),
        ("function_call", CALL, "a call"),
        ("steps", [CALL], "a call"),
        ("steps", json.dumps([CALL]), "a call"),
        ("label", 1, "a verdict"),
        ("Label", "spam", "a verdict"),
        ("is_correct", False, "a verdict"),
        ("is_safe", False, "a verdict"),
        ("Is Valid", 0, "a verdict"),
        ("test_passed", "no", "a verdict"),
        ("harmful", True, "a verdict"),
        ("loss_mask", [0, 1], "a verdict"),
        ("train_on_turn", [True, False], "a verdict"),
        ("mask_history", True, "a verdict"),
        ("messages[].skip", True, "a verdict"),
        ("deleted", True, "a verdict"),
        ("quality", "bad", "a verdict"),
        ("Rating", "thumbs down", "a verdict"),
        ("review_status", "rejected", "a verdict"),
        ("more_tools", [{"type": "function", "function": {"name": "f"}}], "a tool"),
        ("more_tools", json.dumps([{"name": "f", "parameters": {"properties": {"a": {}}}}]), "a tool"),
        ("labels", [0, 1], "a verdict"),
        ("train", False, "a verdict"),
        ("Weight", 0.0, "a verdict"),
        ("weight", 0.3, "a verdict"),
        ("image", {"bytes": b"x", "path": None}, "bytes"),
        ("image", object(), "a object"),
    ],
)
def test_text_calls_verdicts_and_bytes_are_content(name: str, value: Any, kind: str) -> None:
    assert content_of(name, value) == kind


# -- at a row -----------------------------------------------------------------------------------------------------------


def test_a_row_with_unread_content_is_refused_and_says_what_to_do() -> None:
    rows = [{"messages": PAIR}, {"messages": PAIR, "notes": "a\nthought"}, {"messages": PAIR, "id": "7", "notes": " "}]
    report = Dataset.from_list(rows).report
    assert (report.valid, report.total) == (2, 3)
    (bad,) = report.bad
    assert bad.index == 1 and "notes (text)" in bad.reason and "columns=" in bad.reason and "ignore=" in bad.reason
    assert [(c.name, c.rows, c.kind, c.example) for c in report.unread] == [
        ("id", 1, "metadata", "7"),
        ("notes", 1, "text", "a\nthought"),
    ]
    assert report.to_dict()["unread"][1]["name"] == "notes"
    data = Dataset.from_list(rows, ignore=["notes"])
    assert data.report.ok and unread(rows[1], ignore="notes") == {"notes": "ignored"}
    for shown in (repr(data), data._repr_html_()):
        assert "notes" in shown and "ignored" in shown and "id" in shown


@pytest.mark.parametrize(
    ("message", "name", "kind"),
    [
        ({**USER, "context": "a passage"}, "messages[].context", "text"),
        ({**USER, "reasoning": "a user's"}, "messages[].reasoning", "text"),
        ({**USER, "train": True}, "messages[].train", "metadata"),
        ({**ANSWER, "id": "x1"}, "messages[].id", "metadata"),
        ({**ANSWER, "logprob": -0.5}, "messages[].logprob", "metadata"),
        ({**ANSWER, "loss": 0.37}, "messages[].loss", "metadata"),
        ({**ANSWER, "refusal": "I will not."}, "messages[].refusal", "text"),
        ({**ANSWER, "reasoning_content": "one", "thinking": "another"}, "messages[].thinking", "text"),
        ({**ANSWER, "value": "five"}, "messages[].value", "text"),
        ({**ANSWER, "content": [{"type": "text", "text": "4", "citation": "page 7"}]}, "messages[].content[].citation", "text"),
        ({**ANSWER, "tool_calls": [{**CALL, "index": 0}]}, "tool_calls[].function.index", "metadata"),
        ({**ANSWER, "tool_calls": [{"function": CALL, "note": "why so"}]}, "tool_calls[].note", "text"),
    ],
)  # fmt: skip
def test_keys_of_messages_are_told_like_columns(message: dict[str, Any], name: str, kind: str) -> None:
    row = {"messages": [message, ANSWER]}
    assert unread(row) == {name: kind}
    assert Dataset.from_list([row]).report.ok == (kind == "metadata")
    assert Dataset.from_list([row], ignore=[name]).report.ok


def test_message_keys_of_other_tools_are_read() -> None:
    """One thought, verdict and call under each of their usual names; none of it is left over."""
    for key in ("reasoning", "thinking", "reasoning_content", "thought"):
        data = Dataset.from_list([{"messages": [USER, {**ANSWER, key: "hm"}]}])
        assert data.canonical_row(0)["messages"][1] == {**ANSWER, "reasoning_content": "hm"} and not data.report.unread
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]
    assert Dataset.from_list([{"messages": [USER, {**ANSWER, "content": parts}]}]).canonical_row(0)["messages"][1] == {
        **ANSWER,
        "reasoning_content": "hm",
    }
    for key, value in (("train", False), ("training", "no"), ("loss", 0), ("weight", 0.0), ("trainable", False)):
        data = Dataset.from_list([{"messages": [USER, {**ANSWER, key: value}, USER, ANSWER]}])
        assert data.canonical_row(0)["messages"][1] == {**ANSWER, "weight": 0} and not data.report.unread
    torn = Dataset.from_list([{"messages": [USER, {**ANSWER, "train": True, "loss": False}]}])
    assert "that it is trained, and that it is not" in torn.report.bad[0].reason
    refused = Dataset.from_list([{"messages": [USER, {"role": "assistant", "content": None, "refusal": "No."}]}])
    assert refused.canonical_row(0)["messages"][1]["content"] == "No."


def test_what_repeats_what_was_read_refuses_nothing() -> None:
    row = {"prompt": "2+2?", "completion": "4", "messages": PAIR, "text": "Q: 2+2?\nA: 4"}
    assert unread({**row, "messages": None}) == {"text": "repeats what was read"}
    other = Dataset.from_list(
        [{"prompt": "2+2?", "completion": "4", "conversation": [USER, {**ANSWER, "content": "5"}]}]
    )
    assert other.format == "sharegpt" and {c.name: c.kind for c in other.report.unread} == {
        "prompt": "repeats what was read",
        "completion": "metadata",  # a number, whatever it was meant as
    }
    apart = [{"prompt": f"q{n}?", "completion": f"a{n}.", "text": f"q{n}? a{n}. And more: {n}!"} for n in range(6)]
    assert Dataset.from_list(apart).report.valid == 0, "each row has words of its own around it"
    framed = [{**row, "text": f"### {row['prompt']}\n### {row['completion']}"} for row in apart]
    assert Dataset.from_list(framed).report.ok
    assert Dataset.from_list(framed)[:1].report.ok, "a part is judged as the whole was"


def test_a_chat_that_stands_rendered_beside_its_messages_is_a_repetition() -> None:
    def rendered(turns: int, more: str = "") -> dict[str, Any]:
        messages = [{**(USER, ANSWER)[n % 2], "content": f"turn {n} of {turns}"} for n in range(turns)]
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        return {"messages": messages, "text": text + more}

    data = Dataset.from_list([rendered(2), rendered(4), rendered(6), rendered(2)])
    assert data.report.ok and {column.kind for column in data.report.unread} == {"repeats what was read"}
    assert Dataset.from_list([rendered(2, f"more {n}") for n in range(4)]).report.valid == 0


def test_other_keys_beside_the_rows_of_a_json_file_are_named(tmp_path: Any) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"canary": "do not train", "examples": [{"input": "2+2", "target": "4"}]}))
    data = Dataset.load(path)
    assert data.report.ok and [str(column) for column in data.report.unread] == [
        "canary (beside examples) (1, left out)"
    ]


@pytest.mark.parametrize("word", ["1", "yes", "Good", "TRUE", "👍", "thumbs up", 1.0, 1, True])
@pytest.mark.parametrize("turned", [False, True])
def test_verdicts_in_words(word: Any, turned: bool, tmp_path: Any) -> None:
    bad = {"1": "0", "yes": "no", "Good": "bad", "TRUE": "false", "👍": "👎", "thumbs up": "thumbs-down"}
    value = (bad[word] if isinstance(word, str) else type(word)(0)) if turned else word
    path = tmp_path / "rows.csv"
    path.write_text(f"Prompt,Completion,Label\nq,a,{value}\n", encoding="utf-8")
    data = Dataset.load(path)
    assert data.format == "unpaired_preference" and data.canonical_row(0)["label"] is not turned


def test_a_tie_is_a_bad_row_among_compared_answers() -> None:
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    data = Dataset.from_list([{**row, "winner": winner} for winner in ("model_a", "tie", "b", None)])
    assert data.format == "preference" and data.report.valid == 2
    assert [data.canonical_row(n)["chosen"][0]["content"] for n in (0, 2)] == ["x", "y"]
    assert "winner is 'tie', so neither" in data.report.bad[0].reason


def test_messages_as_a_sequence_of_datasets_gives_them() -> None:
    row = {"messages": {"role": ["user", "assistant"], "content": ["2+2?", "4"], "id": ["a", None]}}
    data = Dataset.from_list([row])
    assert data.canonical_row(0) == {"messages": PAIR} and unread(row) == {"messages[].id": "metadata"}


def test_whether_a_model_was_to_think_is_no_thought() -> None:
    for switch in ("on", "OFF", " high ", "/no_think", "false"):
        data = Dataset.from_list([{"messages": [USER, {**ANSWER, "reasoning": switch}]}, {"messages": PAIR}])
        assert data.canonical_row(0)["messages"] == PAIR, switch
        assert [(column.name, column.kind) for column in data.report.unread] == [("messages[].reasoning", "metadata")]
    thought = Dataset.from_list([{"question": "2+2?", "answer": "4", "reasoning": "Two and two."}])
    assert thought.canonical_row(0)["messages"][1]["reasoning_content"] == "Two and two."


def test_a_very_long_reason_is_cut() -> None:
    data = Dataset.from_list([{"messages": [{"role": "x" * 100_000, "content": "y"}]}])
    assert len(str(data.report.bad[0])) < 500


# -- names of one's own -------------------------------------------------------------------------------------------------

FRAGE = {"frage": "2+2?", "antwort": "4", "notiz": "nur so"}
MAPPED = {"frage": "prompt", "antwort": "completion"}


def test_columns_are_mapped_in_every_constructor(tmp_path: Any) -> None:
    import datasets
    import pandas as pd
    import pyarrow as pa

    options: dict[str, Any] = {"columns": MAPPED, "ignore": ["notiz"]}
    plain = Dataset.from_list([FRAGE])
    made = [Dataset.from_list([FRAGE], **options), plain.read_as(**options), Dataset.of([FRAGE], **options)]
    for suffix in (".jsonl", ".json", ".csv", ".parquet"):
        path = plain.save(tmp_path / f"rows{suffix}")
        own = getattr(Dataset, f"from_{suffix[1:]}")
        made += [Dataset.load(path, **options), own(path, **options)]
    made.append(Dataset.from_pandas(pd.DataFrame([FRAGE]), **options))
    made.append(Dataset.from_datasets(datasets.Dataset.from_list([FRAGE]), **options))
    made.append(Dataset.from_arrow(pa.Table.from_pylist([FRAGE]), **options))
    for data in made:
        assert data.canonical_rows() == [{"messages": PAIR}], data
        assert [column.kind for column in data.report.unread] == ["ignored"]
        assert data[:1].canonical_rows() == data.canonical_rows() and data.reading.columns == MAPPED


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"frag": "prompt"}}, "'frag', which no row has. Did you mean 'frage'"),
        ({"columns": {"frage": "promt"}}, "'promt' is not a column that is read. Did you mean 'prompt'"),
        ({"columns": {"frage": "prompt", "antwort": "prompt"}}, "'frage', 'antwort' to 'prompt'"),
        ({"ignore": "notizen"}, "'notizen', which no row has. Did you mean 'notiz'"),
    ],
)
def test_names_that_nobody_knows_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset.from_list([FRAGE], **options)
    assert said in caught.value.what and caught.value.fix


def test_a_mapped_column_comes_before_one_that_has_the_name() -> None:
    row = {"prompt": "the old one", "frage": "2+2?", "completion": "4"}
    data = Dataset.from_list([row], columns={"frage": "prompt"})
    assert data.report.valid == 0 and unread(row, columns={"frage": "prompt"}) == {"prompt": "text"}
    assert data.read_as(columns={"frage": "prompt"}, ignore=["prompt"]).canonical_row(0)["messages"] == PAIR


def test_what_is_ignored_is_not_read_even_where_it_is_known() -> None:
    row = {"system": "Short.", "messages": [USER, {**ANSWER, "reasoning": "hm"}]}
    data = Dataset.from_list([row], ignore=["system", "messages[].reasoning"])
    assert data.canonical_row(0) == {"messages": PAIR}
    assert {column.kind for column in data.report.unread} == {"ignored"}


# -- nothing is lost ----------------------------------------------------------------------------------------------------

NAMES = [
    "messages", "prompt", "question", "instruction", "input", "context", "output", "answer", "completion", "system",
    "history", "tools", "functions", "chosen", "rejected", "label", "text", "reasoning", "answers", "notes", "id",
    "Source", "meta", "tool_calls", "function_call", "role", "content", "value", "name", "thinking", "weight",
    "train", "refusal", "tool_call_id", "arguments", "function", "parameters", "type", "Content",
    "reasoning_content",
]  # fmt: skip
MARK = st.integers(min_value=1000, max_value=9999).map(lambda number: f"mark{number}x")
LEAF = st.one_of(MARK, MARK.map(lambda mark: f"two {mark} words"), st.none(), st.booleans(), st.integers(0, 2))
CELL = st.one_of(
    LEAF,
    st.lists(LEAF, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(NAMES), LEAF, min_size=1, max_size=2),
    st.builds(lambda text: [{"role": "user", "content": text}, {"role": "assistant", "content": f"{text}y"}], MARK),
    st.builds(lambda text: {"name": "f", "arguments": {"a": text}}, MARK),
)
READABLE = [shape for shape in SHAPES if shape.becomes is not None and shape.format != "raw"]


def objects(value: Any) -> list[dict[Any, Any]]:
    """Every object in a row, the row first."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for entry in inner for found in objects(entry)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(READABLE), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(NAMES), CELL), max_size=3))
def test_no_text_of_a_row_disappears(shape: Shape, additions: list[tuple[int, str, Any]]) -> None:
    """Something is added to a row of a public shape, anywhere: it is in the canonical row, or named, or the row is refused."""
    rows = copy.deepcopy(shape.rows)
    row = rows[-1]
    for place, name, cell in additions:
        there = objects(row)
        there[place % len(there)][name] = cell
    data = Dataset.from_list(rows, columns=shape.options.get("columns"))
    if data.report.bad or data.format == "raw":
        return
    kept = json.dumps(data.canonical_rows(), ensure_ascii=False)
    named = [column.name for column in data.report.unread]

    def look(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                look(entry, f"{path}.{key}")
        elif isinstance(value, list):
            for entry in value:
                look(entry, f"{path}[]")
        elif isinstance(value, str) and "mark" in value and value not in kept:
            known = any(
                path.replace("[]", "").startswith(column.name.replace("[]", ""))
                or column.kind == "left out"  # a message of a tree
                # What a call leaves is named without the way to it; what stands beside a tree goes to its first message.
                or (column.name.startswith(("tool", "messages[]")) and column.name.split(".")[-1] in path)
                for column in data.report.unread
            )
            assert known, f"{path} = {value!r} is neither in {kept} nor named in {named}"

    for column, cell in row.items():
        look(cell, column)
