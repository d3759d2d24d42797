"""Replies: tool calls out of generated text, nothing dropped, ids that depend only on the call."""

from __future__ import annotations

import re

import pytest

from shadownb.engine.rendering import ParsedReply, parse_reply, parsers, register_parser

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": [3]}}\n</tool_call>'
ADD = ("add", {"a": 2, "b": [3]})


def calls(text):
    return [(call["name"], call["arguments"]) for call in parse_reply(text).tool_calls]


def test_plain_text_stays_as_it_is():
    assert parse_reply("  Hello {x}\n") == ParsedReply("  Hello {x}\n", [])


def test_one_call_with_text_around_it():
    parsed = parse_reply(f"Adding.\n{CALL}\nDone.")
    assert parsed.content == "Adding.\n\nDone."
    assert [(call["name"], call["arguments"]) for call in parsed.tool_calls] == [ADD]
    assert re.fullmatch(r"call_[0-9a-f]{8}", parsed.tool_calls[0]["id"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{CALL}\n{CALL}", [ADD, ADD]),
        (CALL.removesuffix("\n</tool_call>"), [ADD]),
        (f"{CALL}<tool_call>" + '{"name": "add", "arguments": {"a": 2, "b": [3]}}', [ADD, ADD]),
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 2, \\"b\\": [3]}"}</tool_call>', [ADD]),
        ('<tool_call>{"name": "add", "parameters": {"a": 2, "b": [3]}}</tool_call>', [ADD]),
        ('<tool_call>call: {"name": "add", "arguments": {"a": 2, "b": [3]}} end</tool_call>', [ADD]),
        ('<tool_call>{"name": "now"}</tool_call>', [("now", {})]),
        ('<tool_call>{"name": "say", "arguments": {"text": "a\nb }"}}</tool_call>', [("say", {"text": "a\nb }"})]),
    ],
)
def test_forms_of_calls(text, expected):
    assert calls(text) == expected
    assert parse_reply(text).content == ""


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "add", "arguments": {"a": </tool_call>',
        '<tool_call>{"name": "add", "arguments": "not json"}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>",
    ],
)
def test_what_cannot_be_decoded_stays_in_the_content(text):
    assert parse_reply(text) == ParsedReply(text, [])
    mixed = parse_reply(f"{CALL}\n{text}")
    assert mixed.content == text and len(mixed.tool_calls) == 1


def test_ids_depend_on_content_and_position_only():
    first, second = (call["id"] for call in parse_reply(f"{CALL}{CALL}").tool_calls)
    assert first != second
    assert parse_reply(f"words {CALL}").tool_calls[0]["id"] == first
    assert parse_reply(CALL.replace("2", "4")).tool_calls[0]["id"] != first


def test_another_markup_can_be_registered():
    class Bracket:
        name = "bracket"

        def matches(self, text):
            return "[call:" in text

        def parse(self, text):
            name = text.split("[call:")[1].split("]")[0]
            return ParsedReply("", [{"id": "call_0", "name": name, "arguments": {}}])

    known = parsers.parsers()
    register_parser(Bracket())
    try:
        assert calls("[call:now]") == [("now", {})]
        assert calls(CALL) == [ADD]
        register_parser(Bracket())
        assert parsers.parsers() == ("bracket", *known)
    finally:
        parsers._parsers[:] = [parser for parser in parsers._parsers if parser.name != "bracket"]
