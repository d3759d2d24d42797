"""Formats: what is recognised, what it becomes, and which rows are reported bad with which reason."""

from __future__ import annotations

import json

import pytest

from shadownb.engine.data import FORMATS, Dataset
from shadownb.errors import DataError

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
PAIR = [USER, ANSWER]


def one(row, **options):
    """Return format and canonical form of a one-row set that must be good."""
    dataset = Dataset.from_list([row], **options)
    assert dataset.report.ok, dataset.report
    return dataset.format, dataset.canonical_rows()[0]


def reason(row, format=None):
    """Return the reason for which a row is bad, in a set whose format it shows itself."""
    dataset = Dataset.from_list([row], format=format)
    assert dataset.report.valid == 0
    return dataset.report.bad[0].reason


def test_chat():
    assert one({"messages": PAIR}) == ("chat", {"messages": PAIR})


def test_sharegpt_names_become_roles():
    row = {
        "conversations": [
            {"from": "system", "value": "Short."},
            {"from": "human", "value": "2+2?"},
            {"from": "gpt", "value": "4"},
        ]
    }
    expected = {"messages": [{"role": "system", "content": "Short."}, *PAIR]}
    assert one(row) == ("sharegpt", expected)


def test_sharegpt_with_role_and_content_keys():
    assert one({"conversations": PAIR}) == ("sharegpt", {"messages": PAIR})


@pytest.mark.parametrize("prompt", ["instruction", "question", "prompt", "query", "input"])
@pytest.mark.parametrize("response", ["output", "answer", "response", "completion", "target"])
def test_instruction_columns(prompt, response):
    assert one({prompt: "2+2?", response: "4"}) == ("instruction", {"messages": PAIR})


def test_instruction_with_input_and_system():
    _, row = one({"instruction": "Add.", "input": "2+2", "output": "4", "system": "Short."})
    assert [message["content"] for message in row["messages"]] == ["Short.", "Add.\n\n2+2", "4"]


def test_text():
    assert one({"text": "Once."}) == ("text", {"text": "Once."})


def test_conversational_prompt_and_completion_trains_from_the_completion():
    row = {"prompt": [USER, ANSWER, USER], "completion": [{"role": "assistant", "content": "four"}]}
    format, canonical = one(row)
    assert format == "prompt_completion"
    assert canonical == {"messages": row["prompt"] + row["completion"], "train_from": 3}


def test_preference_from_strings_messages_and_shared_beginnings():
    wrong = {"role": "assistant", "content": "5"}
    expected = {"prompt": [USER], "chosen": [ANSWER], "rejected": [wrong]}
    assert one({"prompt": "2+2?", "chosen": "4", "rejected": "5"}) == ("preference", expected)
    assert one({"prompt": [USER], "chosen": [ANSWER], "rejected": [wrong]})[1] == expected
    assert one({"chosen": [USER, ANSWER], "rejected": [USER, wrong]})[1] == expected
    assert one({"prompt": "2+2?", "chosen": [USER, ANSWER], "rejected": [USER, wrong]})[1] == expected


WRONG = {"role": "assistant", "content": "5"}
SHORT = {"role": "system", "content": "Short."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"question": "2+2?", "chosen": "4", "rejected": "5"},  # the columns of the best known DPO set
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [WRONG]},
        {"chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
        {"prompt": "2+2?", "chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
        {"prompt": "2+2?", "completion": "4", "label": True},
        {"messages": PAIR, "label": True},
        {"prompt": [USER], "completion": [ANSWER]},
        {"messages": PAIR},
        {"prompt": "2+2?", "response": "4"},
    ],
    ids=" ".join,
)
def test_a_system_column_reaches_every_format(row):
    _, plain = one(row)
    _, canonical = one({**row, "system": "Short."})
    column = "prompt" if "prompt" in plain else "messages"
    start = {"train_from": plain["train_from"] + 1} if "train_from" in plain else {}
    assert canonical == {**plain, **start, column: [SHORT, *plain[column]]}
    assert one({**row, "system": " "})[1] == plain
    assert one({**row, "system": None})[1] == plain


@pytest.mark.parametrize(
    ("column", "expected"),
    [("Long.", "Long.\n\nShort."), (" Short. ", "Short."), (" ", "Short.")],
    ids=["both", "the same", "empty"],
)
def test_a_system_column_beside_a_system_message_says_both(column, expected):
    row = {"prompt": [SHORT, USER], "chosen": "4", "rejected": "5", "system": column}
    assert one(row)[1]["prompt"] == [{"role": "system", "content": expected}, USER]


@pytest.mark.parametrize("answer", [{"chosen": "4", "rejected": "5"}, {"completion": "4", "label": False}])
def test_an_input_column_belongs_to_the_prompt(answer):
    _, row = one({"instruction": "Add.", "input": "2+2", **answer})
    assert row["prompt"] == [{"role": "user", "content": "Add.\n\n2+2"}]
    _, row = one({"input": "2+2", **answer})
    assert row["prompt"] == [{"role": "user", "content": "2+2"}]


SPACED = {"role": "user", "content": " 2+2? \n"}


@pytest.mark.parametrize(
    ("prompt", "repeated", "expected"),
    [
        ("2+2?", [USER], [USER]),
        ("2+2?", [SPACED], [USER]),
        ([SHORT, USER], [SHORT, USER], [SHORT, USER]),
        ([SHORT, USER], [USER], [SHORT, USER]),
        ("2+2?", [SHORT, USER], [SHORT, USER]),
        ([USER, ANSWER, USER], [USER, ANSWER, SPACED], [USER, ANSWER, USER]),
    ],
    ids=["as it is", "white space", "with system", "system in the prompt", "system in the answers", "several turns"],
)
def test_a_prompt_that_the_answers_repeat_is_not_there_twice(prompt, repeated, expected):
    row = {"prompt": prompt, "chosen": [*repeated, ANSWER], "rejected": [*repeated, WRONG]}
    assert one(row)[1] == {"prompt": expected, "chosen": [ANSWER], "rejected": [WRONG]}
    _, canonical = one({"prompt": prompt, "completion": [*repeated, ANSWER], "label": True})
    assert canonical == {"prompt": expected, "completion": [ANSWER], "label": True}


def test_sides_that_differ_only_in_the_repeated_prompt_are_the_same():
    assert "the same" in reason({"prompt": "2+2?", "chosen": [USER, ANSWER], "rejected": [SPACED, ANSWER]})


def test_raw_rows_are_kept_but_cannot_be_trained():
    dataset = Dataset.from_list([{"a": 1}, {"b": 2}])
    assert dataset.format == "raw" and not dataset.report.ok and len(dataset.valid_rows()) == 2
    assert dataset.report.valid == 0 and "no column has a known name (there are a, b)" in repr(dataset)
    with pytest.raises(DataError, match="a, b") as caught:
        dataset.canonical_rows()
    assert "prompt and completion" in caught.value.fix


def test_tool_calls_get_dict_arguments_and_keep_ids():
    call = {"id": "call_7", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": "ü"}'}}
    row = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_7", "content": "4"},
            ANSWER,
        ],
        "tools": [{"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}],
    }
    _, canonical = one(row)
    turn = canonical["messages"][1]
    assert turn["content"] == ""
    assert turn["tool_calls"] == [
        {"id": "call_7", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": "ü"}}}
    ]
    assert canonical["messages"][2]["tool_call_id"] == "call_7"
    assert canonical["tools"][0]["type"] == "function" and canonical["tools"][0]["function"]["name"] == "add"
    assert row["messages"][1]["content"] is None, "the given row must stay as it was"


def test_columns_that_hold_json_text():
    row = {"messages": json.dumps(PAIR), "tools": json.dumps([{"name": "add"}])}
    _, canonical = one(row)
    assert canonical["messages"] == PAIR and canonical["tools"][0]["function"] == {"name": "add"}


def test_text_parts_are_joined_and_other_parts_are_bad():
    parts = [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]
    assert one({"messages": [{"role": "user", "content": parts}, ANSWER]})[1]["messages"] == PAIR
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    assert "not text" in reason({"messages": [{"role": "user", "content": image}, ANSWER]})


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"content": "x"}, ANSWER], "messages[0] has no role"),
        ([{"role": "narrator", "content": "x"}, ANSWER], "messages[0] has the unknown role 'narrator'"),
        ([USER, {"role": "assistant", "content": 4}], "messages[1] has content of type int"),
        ([{"role": "user", "content": None}, ANSWER], "messages[0] has no content"),
        ([USER, {"role": "assistant", "content": " \n"}], "messages[1] is an assistant message without text"),
        ([], "messages is empty"),
        ("hello", "messages is text, not a list"),
        (None, "messages is missing, not a list"),
        (["hello"], "messages[0] is text, not a message"),
        ([{**USER, "tool_calls": [{"function": {"name": "f"}}]}, ANSWER], "messages[0] has tool_calls"),
        ([USER, {"role": "assistant", "tool_calls": [{"function": {}}]}], "a tool call without a name"),
        (
            [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "not valid JSON",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}],
            "not an object",
        ),
        ([USER, {**ANSWER, "weight": 0.5}], "weight 0.5"),
    ],
)
def test_bad_chat_rows(messages, expected):
    assert expected in reason({"messages": messages})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
        ({"prompt": "q", "chosen": "a", "rejected": ""}, "rejected is empty"),
        ({"chosen": "a", "rejected": "b"}, "no prompt"),
        ({"prompt": "q", "response": ""}, "response is empty"),
        ({"prompt": None, "response": "a"}, "prompt is missing"),
        ({"prompt": 3, "response": "a"}, "prompt is of type int"),
        ({"text": "  "}, "text is empty"),
        ({"text": None}, "text is missing"),
        ({"prompt": [USER], "completion": [USER]}, "completion has no assistant message"),
        ({"messages": PAIR, "tools": [{}]}, "tools[0] has no name"),
        ({"messages": PAIR, "tools": "none"}, "tools is text"),
    ],
)
def test_bad_rows_of_other_formats(row, expected):
    assert expected in reason(row)


def test_detection_looks_at_all_rows_and_the_majority_wins():
    rows = [{"text": "first"}, {"messages": PAIR}, {"messages": PAIR}, {"other": 1}, {"messages": [{"content": "x"}]}]
    dataset = Dataset.from_list(rows)
    assert dataset.format == "chat"
    assert [(bad.row, bad.index) for bad in dataset.report.bad] == [(0, 0), (3, 3), (4, 4)]
    assert "it looks like text, while most rows are chat" in dataset.report.bad[0].reason
    assert "it has: other" in dataset.report.bad[1].reason
    assert dataset.report.mixed and dataset.report.formats == {"chat": 3, "text": 1, "raw": 1}
    assert "mixed formats" in str(dataset.report)
    assert dataset.report.total == 5 and dataset.report.valid == 2
    assert len(dataset) == 5 and len(dataset.valid_rows()) == len(dataset.canonical_rows()) == 2


def test_entries_that_are_no_rows_are_counted():
    dataset = Dataset.from_list([{"text": "a"}, "b", 3])
    assert len(dataset) == 1 and dataset.report.total == 3
    assert [str(bad) for bad in dataset.report.bad] == [
        "index 1: it is of type str, not an object with columns",
        "index 2: it is of type int, not an object with columns",
    ]
    assert sum(dataset.report.counts.values()) == 2


@pytest.mark.parametrize("rows", [[], ["a", "b"]])
def test_nothing_to_use_is_an_error_with_a_next_step(rows):
    with pytest.raises(DataError) as caught:
        Dataset.from_list(rows)
    assert caught.value.fix


def test_all_rows_bad_is_an_error_only_when_used():
    dataset = Dataset.from_list([{"text": ""}, {"text": None}])
    with pytest.raises(DataError, match="None of the 2 rows") as caught:
        dataset.canonical_rows()
    assert "index 0: text is empty" in caught.value.why


def test_a_given_format_is_used_and_an_unknown_one_is_refused():
    row = {"text": "t", "prompt": "p", "response": "r", "label": 1}
    assert one(row, format="text") == ("text", {"text": "t"})
    left = {column.name: column.kind for column in Dataset.from_list([row], format="text").report.unread}
    assert left == dict.fromkeys(("prompt", "response", "label"), "ignored"), (
        "who names the format has chosen, and is told"
    )
    context = Dataset.from_list([{**row, "context": "a passage"}], format="text")
    assert "context (text)" in context.report.bad[0].reason, "no other format is made of it"
    with pytest.raises(DataError, match="Did you mean 'chat'"):
        Dataset.from_list([row], format="chats")
    assert set(FORMATS) == {
        "chat",
        "sharegpt",
        "preference",
        "instruction",
        "text",
        "prompt_completion",
        "raw",
        "unpaired_preference",
        "prompt",
        "stepwise",
    }


def test_rows_that_only_ask_are_a_format_where_no_row_answers():
    """What stands beside the question is for whoever scores answers, so it refuses no row."""
    system = {"role": "system", "content": "Be brief."}
    beside = {"word": "A text that no reader of rows would know what to do with.", "n": 5}
    assert one({"prompt": "q", **beside}) == ("prompt", {"prompt": [USER | {"content": "q"}]})
    assert one({"messages": [system, USER], **beside}) == ("prompt", {"prompt": [system, USER]})
    assert one({"question": "q", "tools": None}) == ("prompt", {"prompt": [USER | {"content": "q"}]})
    told = Dataset.from_list([{"messages": [USER]}], format="chat").report.bad
    assert "no assistant message" in told[0].reason
    mixed = Dataset.from_list([{"messages": [USER]}, {"messages": [USER]}, {"messages": [USER, ANSWER]}])
    assert (mixed.format, mixed.report.valid) == ("chat", 1), (
        "rows that lack their answer are told, and no format of their own"
    )
    for row in ({"prompt": "q", "chosen": "a", "rejected": "b"}, {"prompt": "q", "completion": "a"}, {"text": "t"}):
        assert Dataset.from_list([row]).format != "prompt"


# -- what only looks like a conversation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Who?", "answer": ["Ann", "Ann Lee"]},
        {"question": ["Who?", "When?"], "answer": ["Ann", "In 1911."]},
        {"prompt": "Who?", "chosen": ["Ann", "Ann Lee"], "rejected": ["Bob", "Bob Lee"]},
        {"prompt": "Who?", "completion": [{"question": "a", "answer": "b"}], "label": True},
        {"prompt": "Who?", "completion": "Ann", "history": ["first?", "second?", "third?"]},
    ],
)
def test_several_texts_in_a_prompt_or_an_answer_are_no_turns(row):
    report = Dataset.from_list([row]).report
    assert report.valid == 0 and report.bad


DIALOGUE = "User: Hi\nAssistant: Hello."


def test_a_dialogue_that_is_talked_about_stays_text():
    asks = {"prompt": f"{DIALOGUE}\nIs this polite?", "completion": "Yes."}
    writes = {"prompt": "Write a dialogue.", "completion": DIALOGUE}
    for row in (asks, writes):
        user, answer = Dataset.from_list([row]).canonical_row(0)["messages"]
        assert (user["content"], answer["content"]) == (row["prompt"], row["completion"])
    pair = {"prompt": "Write a dialogue.", "chosen": DIALOGUE, "rejected": "No."}
    assert Dataset.from_list([pair]).canonical_row(0)["chosen"] == [{"role": "assistant", "content": DIALOGUE}]
    whole = {"prompt": "Hi", "chosen": "User: Hi\nAssistant: Hello.", "rejected": "User: Hi\nAssistant: What?"}
    assert Dataset.from_list([whole]).canonical_row(0)["chosen"] == [{"role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize("role", ["function", "narrator", "system name=example_user"])
def test_a_marked_turn_of_another_role_does_not_vanish_into_the_one_before(role):
    turns = [("user", "Who?"), (role, "{}"), ("assistant", "Ann")]
    text = "".join(f"<|im_start|>{name}\n{said}<|im_end|>\n" for name, said in turns)
    data = Dataset.from_list([{"text": text}])
    if role == "function":
        assert [message["role"] for message in data.canonical_row(0)["messages"]] == ["user", "tool", "assistant"]
    else:
        assert "unknown role" in data.report.bad[0].reason


@pytest.mark.parametrize("value", [5, {"x": 1}, [1, 2], True])
@pytest.mark.parametrize("column", ["input", "context"])
def test_what_a_question_is_about_is_no_metadata_because_it_is_a_number(column, value):
    row = {"instruction": "Double it.", column: value, "output": "10"}
    assert f"{column} is of type {type(value).__name__}, not text" in Dataset.from_list([row]).report.bad[0].reason
    assert Dataset.from_list([row], ignore=[column]).report.ok
    asked = Dataset.from_list([{**row, column: "5"}]).canonical_row(0)["messages"][0]
    assert asked["content"] == "Double it.\n\n5"


def hermes(*said):
    turns = [{"from": role, "value": text} for role, text in said]
    return {"conversations": turns, "tools": '[{"name": "f", "parameters": {}}]'}


def test_results_in_tags_are_messages_of_their_own_and_broken_calls_no_answers():
    call = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    results = "<tool_response>\none\n</tool_response>\n<tool_response>two</tool_response>"
    row = hermes(("human", "q"), ("gpt", f"{call}\n{call}"), ("tool", results), ("gpt", "a"))
    messages = Dataset.from_list([row]).canonical_row(0)["messages"]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["one", "two"]
    for broken in (
        call.replace('"a": 1', '"a": 1, "a": 2'),
        call.replace("}}", "}"),
        call.removesuffix("</tool_call>"),
    ):
        report = Dataset.from_list([hermes(("human", "q"), ("gpt", broken))]).report
        assert "conversations[1] has a <tool_call> that cannot be read as one" in report.bad[0].reason
    spoken = hermes(("human", "q"), ("gpt", "Write <tool_call> before a call."))
    assert Dataset.from_list([spoken]).report.ok
