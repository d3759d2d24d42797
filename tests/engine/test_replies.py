"""Replies taken apart: calls, reasoning and content of every markup, whole and in pieces; nothing is dropped or made up."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadownb.engine.replies import (
    ParsedReply,
    choose_markup,
    collected,
    open_reader,
    parse_reply,
    parsers,
    register_parser,
)
from shadownb.engine.replies.decoders import json_calls
from shadownb.engine.replies.registry import _parsers

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": [3]}}\n</tool_call>'
ADD = ("add", {"a": 2, "b": [3]})
ARG = "<arg_key>a</arg_key>\n<arg_value>{}</arg_value>\n"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "array"},
                    "zip": {"type": "string"},
                    "on": {"type": ["boolean", "null"]},
                    "rate": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "kind": {"$ref": "#/$defs/Kind"},
                },
                "$defs": {"Kind": {"enum": [1, 2, "three"]}},
            },
        },
    }
]


def calls(text: str, *markers: str, tools: Any = None, **options: Any) -> list[tuple[str, Any]]:
    found = parse_reply(text, choose_markup("", markers, **options), tools=tools)
    return [(call["name"], call["arguments"]) for call in found.tool_calls]


def test_plain_text_stays_as_it_is() -> None:
    assert parse_reply("  Hello {x}\n") == ParsedReply("  Hello {x}\n")


def test_one_call_with_text_around_it() -> None:
    parsed = parse_reply(f"Adding.\n{CALL}\nDone.")
    assert parsed.content == "Adding.\n\nDone."
    assert [(call["name"], call["arguments"]) for call in parsed.tool_calls] == [ADD]
    assert re.fullmatch(r"call_[0-9a-f]{8}", parsed.tool_calls[0]["id"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{CALL}\n{CALL}", [ADD, ADD]),
        (CALL.removesuffix("\n</tool_call>"), [ADD]),
        (CALL.removesuffix("all>"), [ADD]),
        (f"{CALL}<tool_call>" + '{"name": "add", "arguments": {"a": 2, "b": [3]}}', [ADD, ADD]),
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 2, \\"b\\": [3]}"}</tool_call>', [ADD]),
        ('<tool_call>{"name": "add", "parameters": {"a": 2, "b": [3]}}</tool_call>', [ADD]),
        (
            '<tool_call>{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": [3]}}}</tool_call>',
            [ADD],
        ),
        ('<tool_call>call: {"name": "add", "arguments": {"a": 2, "b": [3]}} end</tool_call>', [ADD]),
        (
            '<tool_call>[{"name": "add", "arguments": {"a": 2, "b": [3]}}, {"name": "now"}]</tool_call>',
            [ADD, ("now", {})],
        ),
        ('<tool_call>{"name": "now"}</tool_call>', [("now", {})]),
        ('<tool_call>{"name": "say", "arguments": {"text": "a\nb }"}}</tool_call>', [("say", {"text": "a\nb }"})]),
        # The closing marker inside a string is text.
        (
            '<tool_call>{"name": "say", "arguments": {"t": "</tool_call>"}}</tool_call>',
            [("say", {"t": "</tool_call>"})],
        ),
        # An argument that looks like a call is an argument.
        (
            '<tool_call>{"name": "save", "arguments": {"rec": {"name": "Ann", "arguments": {"x": 1}}}}</tool_call>',
            [("save", {"rec": {"name": "Ann", "arguments": {"x": 1}}})],
        ),
    ],
)
def test_forms_of_calls(text: str, expected: list[Any]) -> None:
    assert calls(text) == expected
    parsed = parse_reply(text)
    assert (parsed.content, parsed.malformed_calls) == ("", [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<tool_call>{"name": "add", "arguments": {"a": </tool_call>', "not valid JSON"),
        ('<tool_call>{"name": "add", "arguments": "not json"}</tool_call>', "not valid JSON"),
        ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>', "no object"),
        ('<tool_call>{"arguments": {}}</tool_call>', "no name"),
        ('<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>', "NaN"),
        ("<tool_call>add(a=2)</tool_call>", "no JSON object"),
        ('<tool_call>{"call": {"name": "Ann", "arguments": {}}}</tool_call>', "no name"),
        ('<tool_call>{"name": "add", "arguments": {"a": ' + "[" * 100_000, "nested too deeply"),
        (
            '<tool_call>{"name": "add", "arguments": {"a": ' + "[" * 500 + "]" * 500 + "}}</tool_call>",
            "nested too deeply",
        ),
        ("<tool_call>\n<function=add>\n<parameter=a>\n2\n", "not closed"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1, "a": 2}}</tool_call>', "appears twice"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}, "parameters": {"a": 2}}</tool_call>', "both"),
        ('<tool_call>{"name": "add", "a": 2}</tool_call>', "'a' and no arguments"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1e999}}</tool_call>', "1e999 is not JSON"),
        ('<tool_call>{"name": "add", "arguments": {"a": ' + "9" * 5000 + "}}</tool_call>", "not valid JSON"),
        (f"<tool_call>add\n{ARG.format(1)}{ARG.format(2)}</tool_call>", "twice"),
        (f"<tool_call>add\n{ARG.format(1)}", "breaks off"),
    ],
)
def test_a_call_that_cannot_be_read_is_told(text: str, why: str) -> None:
    parsed = parse_reply(text)
    assert (parsed.content, parsed.tool_calls) == ("", [])
    (told,) = parsed.malformed_calls
    assert told["text"] == text and why in told["reason"]
    mixed = parse_reply(f"{CALL}\n{text}")
    assert len(mixed.tool_calls) == 1 and [each["text"] for each in mixed.malformed_calls] == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Put it between <tool_call></tool_call> tags.",
        "The <tool_call> tag comes first, then {json}.",
        f"An example:\n```\n{CALL}\n```\nThat is all.",
        'Write `<tool_call>{"name": "add", "arguments": {}}</tool_call>` to add.',
        "<tool_call>",
        "<tool_call> tags hold calls",
        "I think <think> is a tag",
    ],
)
def test_markup_that_is_only_spoken_of_is_text(text: str) -> None:
    assert parse_reply(text) == ParsedReply(text)


def test_a_call_behind_a_closed_fence_is_one() -> None:
    parsed = parse_reply(f"```python\nx = 1\n```\n{CALL}")
    assert parsed.content == "```python\nx = 1\n```" and len(parsed.tool_calls) == 1


def test_a_registered_schema_types_what_a_markup_writes_as_text() -> None:
    def written(**values: str) -> str:
        inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
        return f"<tool_call>\n<function=add>\n{inner}</function>\n</tool_call>"

    text = written(a="7", b='["x"]', zip="75001", on="True", rate="0.5", kind="2")
    assert calls(text, tools=TOOLS) == [
        ("add", {"a": 7, "b": ["x"], "zip": "75001", "on": True, "rate": 0.5, "kind": 2})
    ]
    assert calls(written(on="None", rate="null", a="3.0", zip="null"), tools=TOOLS) == [
        ("add", {"on": None, "rate": None, "a": 3, "zip": "null"})
    ]
    # Without a schema only what is written exactly as a value is one.
    guessed = calls(written(a="7", b="007", c="1e3", d="True", e="{'x'}", f='{"name": "Ann"}', g=" two\nlines "))
    assert guessed == [
        ("add", {"a": 7, "b": "007", "c": "1e3", "d": True, "e": "{'x'}", "f": {"name": "Ann"}, "g": " two\nlines "})
    ]


PYTHON = ("<|tool_call_start|>", "<|tool_call_end|>")
DEEP = ("<｜tool▁calls▁begin｜>",)
DEEP_V3 = (
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1}\n```<｜tool▁call▁end｜>\n'
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)
DEEP_V31 = '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
HARMONY = ("<|channel|>", "<|message|>", "<|start|>")


@pytest.mark.parametrize(
    ("markers", "text", "expected"),
    [
        (PYTHON, "<|tool_call_start|>[f(a='it\\'s', b=[1, \"x\"], c={\"k\": true}), g()]<|tool_call_end|>",
         [("f", {"a": "it's", "b": [1, "x"], "c": {"k": True}}), ("g", {})]),
        (PYTHON, '<|tool_call_start|>[f(a="x, y) z", b=None, c=False, d=-1.5)]<|tool_call_end|>',
         [("f", {"a": "x, y) z", "b": None, "c": False, "d": -1.5})]),
        (("[TOOL_CALLS]",), '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abc"}, {"name": "g", "arguments": {}}]',
         [("f", {"a": 1}), ("g", {})]),
        (("[TOOL_CALLS]", "[ARGS]"), '[TOOL_CALLS]f[CALL_ID]x1[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{}', [("f", {"a": 1}), ("g", {})]),
        (("<|tool_call|>",), '<|tool_call|>[{"name": "f", "arguments": {"a": 1}}]<|/tool_call|>', [("f", {"a": 1})]),
        (("<|tool_call|>",), '<|tool_call|>[{"name": "f", "arguments": {"a": 1}}]', [("f", {"a": 1})]),  # Granite 3
        (DEEP, DEEP_V3, [("f", {"a": 1}), ("g", {})]),
        (DEEP, DEEP_V31, [("f", {"a": 1})]),
        (("<|START_ACTION|>",), '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}}\n]'
         "<|END_ACTION|>", [("f", {"a": 1})]),
        (("<|tool_calls_section_begin|>",), "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
         '<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>', [("f", {"a": 1})]),
        (("<minimax:tool_call>",), '<minimax:tool_call>\n<invoke name="f">\n<parameter name="a">1</parameter>\n</invoke>\n'
         "</minimax:tool_call>", [("f", {"a": 1})]),
        (("<|python_tag|>",), '<|python_tag|>{"name": "f", "parameters": {"a": 1}}', [("f", {"a": 1})]),
        (("<|python_tag|>",), '<|python_tag|>search.call(query="rain, snow")', [("search", {"query": "rain, snow"})]),
        (("<|python_tag|>",), '{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}',
         [("f", {"a": 1}), ("g", {})]),
        (("<|tool_call>",), '<|tool_call>call:f{a:<|"|>x}:{<|"|>,b:[1,{c:true}],d:null}<tool_call|>',
         [("f", {"a": "x}:{", "b": [1, {"c": True}], "d": None})]),
        (("<start_function_call>", "<escape>", "<start_function_response>"),
         "<start_function_call>call:f{a:<escape>it's {1}<end_function_call><escape>,b:[1,{c:true}]}<end_function_call>"
         "<start_function_response>", [("f", {"a": "it's {1}<end_function_call>", "b": [1, {"c": True}]})]),
        (("<TOOLCALL>",), '<TOOLCALL>[{"name": "f", "arguments": {"a": 1}}]</TOOLCALL>', [("f", {"a": 1})]),
        (("<function_calls>",), '<function_calls>\nf(a="x", b=[1])\ng()\n</function_calls>',
         [("f", {"a": "x", "b": [1]}), ("g", {})]),
        (("<|action_start|>", "<|plugin|>"), '<|action_start|><|plugin|>\n{"name": "f", "parameters": {"a": 1}}<|action_end|>',
         [("f", {"a": 1})]),
        (("<seed:tool_call>",), "<seed:tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</seed:tool_call>",
         [("f", {"a": 1})]),
        (HARMONY, ' to=functions.f<|channel|>commentary json<|message|>{"a": 1}', [("f", {"a": 1})]),
        (HARMONY, '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}', [("f", {"a": 1})]),
        ((), "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>", [("f", {"a": 1})]),
        ((), "<tool_call>\n<function=f>\n<parameter=a>\n</parameter> is text\n</parameter>\n</function>\n</tool_call>",
         [("f", {"a": "</parameter> is text"})]),
    ],
)  # fmt: skip
def test_the_calls_of_each_family(markers: tuple[str, ...], text: str, expected: list[Any]) -> None:
    assert calls(text, *markers) == expected
    assert parse_reply(text, choose_markup("", markers)).content == ""
    for seed in range(3):
        reader, at, parts = open_reader(choose_markup("", markers)), 0, []
        draw = random.Random(seed)
        while at < len(text):
            size = draw.randint(1, 5)
            parts += reader.feed(text[at : at + size])
            at += size
        assert (
            collected([*parts, *reader.finish()]).tool_calls == parse_reply(text, choose_markup("", markers)).tool_calls
        )


KIMI = ("<|tool_calls_section_begin|>",)
MINIMAX = ("<minimax:tool_call>",)
INVOKE = '<invoke name="f">\n<parameter name="a">1</parameter>\n</invoke>\n'


@pytest.mark.parametrize(
    ("markers", "text"),
    [
        (DEEP, DEEP_V31.replace("<｜tool▁calls▁end｜>", '<｜tool▁call▁begin｜>g<｜tool▁sep｜>{"a"<｜tool▁calls▁end｜>')),
        (KIMI, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
         '<|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{"a"<|tool_calls_section_end|>'),
        (MINIMAX, f'<minimax:tool_call>\n{INVOKE}<invoke name="g">\n<parameter name="a">2\n</minimax:tool_call>'),
        (MINIMAX, f"<minimax:tool_call>\nI call it: {INVOKE}</minimax:tool_call>"),
        (PYTHON, "<|tool_call_start|>[f(a=1, a=2)]<|tool_call_end|>"),
        (PYTHON, "<|tool_call_start|>[f(a={1, 2})]<|tool_call_end|>"),
        (PYTHON, "<|tool_call_start|>[f(a=b'x')]<|tool_call_end|>"),
        (PYTHON, "<|tool_call_start|>[f(a={1: 2})]<|tool_call_end|>"),
        (PYTHON, "<|tool_call_start|>[f(a=1e999)]<|tool_call_end|>"),
    ],
)  # fmt: skip
def test_a_block_of_which_a_part_cannot_be_read_is_told_whole(markers: tuple[str, ...], text: str) -> None:
    parsed = parse_reply(text, choose_markup("", markers))
    assert (parsed.content, parsed.tool_calls) == ("", [])
    assert [each["text"] for each in parsed.malformed_calls] == [text]


def test_whatever_a_call_holds_can_be_written_as_json() -> None:
    halves = '<tool_call>{"name": "f", "arguments": {"\\ud83d": ["\\ud83d", "\\ud83d\\ude00"]}}</tool_call>'
    assert calls(halves) == [("f", {"�": ["�", "😀"]})]
    assert calls("<|tool_call_start|>[f(a=(1, (2,)))]<|tool_call_end|>", *PYTHON) == [("f", {"a": [1, [2]]})]


def test_llama_s_calls_in_python_s_form_need_no_marker() -> None:
    """As Llama 3.2 is told to write them where tools stand in the system text."""
    llama = choose_markup("", ("<|python_tag|>",))
    (call,) = parse_reply('[add(a=2, zip="0")]', llama, tools=TOOLS).tool_calls
    assert (call["name"], call["arguments"]) == ("add", {"a": 2, "zip": "0"})
    assert parse_reply("[add(a=2)]", llama, tools=[]).content == "[add(a=2)]"


def test_texts_between_quotes_without_escapes() -> None:
    """LFM2.5's templates put a text between quotes as it is."""
    text = "<|tool_call_start|>[f(a='it's C:\\new, b', c='x')]<|tool_call_end|>"
    assert calls(text, *PYTHON, escapes=False) == [("f", {"a": "it's C:\\new, b", "c": "x"})]


def test_json_is_a_call_only_where_tools_were_offered() -> None:
    llama = choose_markup("", ("<|python_tag|>",))
    text = '{"name": "add", "parameters": {"a": 1}}'
    assert parse_reply(text, llama, tools=[]).content == text
    assert len(parse_reply(text, llama, tools=TOOLS).tool_calls) == 1
    other = text.replace("add", "Ann")
    assert parse_reply(other, llama, tools=TOOLS) == ParsedReply(other), "nobody offered Ann"
    for answer in ('{"name": "Ann"}', "[1, 2]", "[add](https://x)"):
        assert parse_reply(answer, llama, tools=TOOLS) == ParsedReply(answer)
        assert parse_reply(answer, llama) == ParsedReply(answer)
    for broken, why in ((text[:-4], "not valid JSON"), (f"{text} is how", "follows it")):
        parsed = parse_reply(broken, llama, tools=TOOLS)
        assert parsed.content == "" and why in parsed.malformed_calls[0]["reason"]


@pytest.mark.parametrize(
    ("markers", "text", "reasoning", "content"),
    [
        ((), "<think>\nHm.\n\nYes.\n</think>\n\nIt rains.", "Hm.\n\nYes.", "It rains."),
        ((), "<think>\n\n</think>\n\nIt rains.", "", "It rains."),
        (("[THINK]",), "[THINK]Hm.[/THINK]It rains.", "Hm.", "It rains."),
        (("<|channel>",), "<|channel>thought\nHm.\n<channel|>It rains.", "Hm.", "It rains."),
        (("<|START_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
         "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>It rains.<|END_RESPONSE|>", "Hm.", "It rains."),
        (HARMONY, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>It rains.",
         "Hm.", "It rains."),
        (HARMONY, "It rains.", "", "It rains."),
        (("<response>", "</response>"), "Say `<response>` to begin.", "", "Say `<response>` to begin."),
        (("<response>", "</response>"), "<think>Hm.</think>\n<response>It rains.</response>", "Hm.", "It rains."),
    ],
)  # fmt: skip
def test_reasoning_is_apart_from_the_content(markers: Any, text: str, reasoning: str, content: str) -> None:
    parsed = parse_reply(text, choose_markup("", markers))
    assert (parsed.reasoning, parsed.content, parsed.reasoning_open) == (reasoning, content, False)


def test_a_prompt_that_opens_the_reasoning() -> None:
    tail = "<｜Assistant｜><think>\n"
    markup = choose_markup("")
    reader = open_reader(markup, tail=tail)
    parts = [*reader.feed("Hm.\n</think>\n\nIt rains."), *reader.finish()]
    assert collected(parts) == ParsedReply("It rains.", [], "Hm.")
    reader = open_reader(markup, tail=tail)
    parts = [*reader.feed("Hm. And"), *reader.finish()]
    assert (collected(parts).content, reader.reasoning_open) == ("", True)
    closed = parse_reply("Fine.", markup, tail="assistant\n<think>\n\n</think>\n\n")
    assert closed == ParsedReply("Fine.")
    repeated = parse_reply("<think>\nHm.</think>Fine.", markup, tail=tail)
    assert (repeated.reasoning, repeated.content) == ("Hm.", "Fine.")


def test_reasoning_without_an_end_is_told() -> None:
    assert parse_reply("<think>Hm. And") == ParsedReply("", [], "Hm. And", [], True)
    assert parse_reply("<think>Hm.</think>") == ParsedReply("", [], "Hm.")


def test_calls_may_be_left_in_the_text() -> None:
    parsed = parse_reply(f"<think>Hm.</think>Adding.\n{CALL}", calls=False)
    assert parsed == ParsedReply(f"Adding.\n{CALL}", [], "Hm.")


def test_ids_depend_on_content_and_position_only() -> None:
    first, second = (call["id"] for call in parse_reply(f"{CALL}{CALL}").tool_calls)
    assert first != second
    assert parse_reply(f"words {CALL}").tool_calls[0]["id"] == first
    assert parse_reply(CALL.replace("2", "4")).tool_calls[0]["id"] != first
    assert parse_reply(CALL.replace("[3]", '"\\ud800"')).tool_calls, "a lone surrogate"


REPLIES = (
    ((), f"<think>\nHm.\n</think>\n\nAdding  \n{CALL}\n{CALL}\n Done. "),
    ((), f"`<tool_call>` and\n```\n{CALL}\n``` \n{CALL}"),
    ((), '<tool_call>{"name": "say", "arguments": {"t": "</tool_call> <tool_call>"}}</tool_call> x <tool_call>{'),
    ((), "a < b <t <tool_call <think> </think> `x` <tool_call> y"),
    (PYTHON, "I look.<|tool_call_start|>[f(a='x]<|tool_call_end|>')]<|tool_call_end|>\n<|tool_call_start|>[f("),
    (("<|python_tag|>",), '\n {"name": "add", "parameters": {"a": 1}} ; {"name": "add", "parameters": {}} '),
    (("<|python_tag|>",), ' {"name": "Ann"} is an answer'),
    (("<|tool_call>", "<|channel>"), '<|channel>thought\nHm.<channel|> <|tool_call>call:add{a:1}<tool_call|> \nI look.'),
    (HARMONY, "<|channel|>analysis<|message|> Hm. <|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
     '<|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1}<|call|>'),
    (HARMONY, "assistant is a word that begins like a header"),
    (("[TOOL_CALLS]",), '[TOO much] text [TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]add[ARGS]{'),
)  # fmt: skip


@pytest.mark.parametrize(("markers", "text"), REPLIES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 12))
def test_pieces_of_any_length_give_the_same_reply(markers: tuple[str, ...], text: str, seed: int, size: int) -> None:
    markup = choose_markup("", markers)
    whole = parse_reply(text, markup, tools=TOOLS)
    draw = random.Random(seed)
    reader = open_reader(markup, tools=TOOLS)
    parts, at = [], 0
    while at < len(text):
        length = draw.randint(1, size)
        parts += reader.feed(text[at : at + length])
        shown = "".join(part.text for part in parts if part.kind == "content")
        assert whole.content.startswith(shown), "something was shown that is not part of the content"
        at += length
    parts += reader.finish()
    assert collected(parts, reasoning_open=reader.reasoning_open) == whole


PIECES = (
    "<tool_call>", "</tool_call>", "<think>", "</think>", "{", "}", '"', "a", "\n", " ", "`", "<", "<function=f>", "</function>",
    '{"name": "f"}', "\\", "[", "<parameter=a>",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=12).map("".join), cut=st.integers(0, 60))
@example(text="<think><think><think><tool_call>", cut=14)
def test_any_text_is_read_and_nothing_is_lost(text: str, cut: int) -> None:
    """Whatever a model writes, each character is content, reasoning, a call, a malformed call or white space between them."""
    whole = parse_reply(text)
    reader = open_reader(choose_markup(""))
    parts = [*reader.feed(text[:cut]), *reader.feed(text[cut:]), *reader.finish()]
    assert collected(parts, reasoning_open=reader.reasoning_open) == whole
    if not whole.tool_calls and "<think>" not in text:
        kept = whole.content + "".join(each["text"] for each in whole.malformed_calls)
        assert sorted(kept.replace(" ", "").replace("\n", "")) == sorted(text.replace(" ", "").replace("\n", ""))


def test_another_markup_can_be_registered() -> None:
    class Bracket:
        name = "bracket"

        def matches(self, text: str) -> bool:
            return "[call:" in text

        def parse(self, text: str) -> ParsedReply:
            name = text.split("[call:")[1].split("]", maxsplit=1)[0]
            return ParsedReply("", [{"id": "call_0", "name": name, "arguments": {}}])

    register_parser(Bracket())
    try:
        assert calls("[call:now]") == [("now", {})]
        assert calls(CALL) == [ADD]
        register_parser(Bracket())
        assert parsers() == ("bracket",)
    finally:
        _parsers.clear()


def test_json_calls_alone() -> None:
    assert json_calls('{"name": "f"} and so on') == [("f", {})]
    with pytest.raises(ValueError, match="follows it"):
        json_calls('{"name": "f"} and so on', alone=True)
    assert json.loads(json.dumps(json_calls('{"name": "f", "arguments": {"a": 1.5}}'))) == [["f", {"a": 1.5}]]
