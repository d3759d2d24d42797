"""Sampling options, replies and incremental text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shadownb.engine.inference import Completion, Reply, Sampling
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.replies import ParsedReply
from shadownb.engine.replies.texts import held_back
from shadownb.errors import ConfigError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 1.5),
        ("max_new_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("temperature", 1.3e308),  # more than fp32 has
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_k", -1),
        ("repetition_penalty", 0),
        ("repetition_penalty", float("inf")),
        ("repetition_penalty", 1e39),
        ("stop", ("",)),
        ("stop", (1,)),
        ("stop", 5),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_a_wrong_value_is_named(option: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Sampling(**{option: value})
    assert f"{option}={value!r}" in str(caught.value)
    assert caught.value.fix


def test_values_are_normalised() -> None:
    sampling = Sampling(stop="END", temperature=1, top_p=1)  # type: ignore[arg-type]
    assert sampling.stop == ("END",)
    assert isinstance(sampling.temperature, float)
    assert Sampling(stop=["a", "b", "a"]).stop == ("a", "b")  # type: ignore[arg-type]
    assert Sampling(stop=None).stop == ()  # type: ignore[arg-type]
    assert Sampling(temperature=0).greedy and Sampling(temperature=1e-40).greedy
    assert not sampling.greedy


def test_an_unknown_option_is_named_with_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"temprature=1.*Did you mean 'temperature'"):
        Sampling.from_options(temprature=1)
    assert Sampling.from_options(top_k=3).top_k == 3


def test_a_reply_in_wire_form() -> None:
    reply = Reply("Grüße", tool_calls=[{"name": "look", "arguments": {"ort": "Köln"}}, {"name": "x", "id": "call_1"}])
    message = reply.to_message()
    assert (message["role"], message["content"]) == ("assistant", "Grüße")
    first, second = message["tool_calls"]
    assert first["type"] == "function"
    assert first["id"].startswith("call_") and first["id"] != second["id"]
    assert first["function"]["name"] == "look"
    assert json.loads(first["function"]["arguments"]) == {"ort": "Köln"}
    assert second == {"id": "call_1", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    assert reply.to_message() == message, "ids must not change between calls"
    assert Reply("a").to_message() == {"role": "assistant", "content": "a"}


def test_a_reply_shows_its_content_and_no_markup_of_the_model() -> None:
    reply = Reply("<script>alert(1)</script>", tool_calls=[{"name": "<b>", "arguments": "</i>"}])
    assert str(reply) == "<script>alert(1)</script>"
    shown = reply._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "<b>" not in shown and "</i>" not in shown
    assert " at 0x" not in repr(reply)


def test_a_reply_from_a_completion_counts_tokens() -> None:
    broken = {"text": "<tool_call>{", "reason": "it is not valid JSON"}
    parsed = ParsedReply("content", [], "thought", [broken])
    reply = Reply.from_completion(Completion("raw", [5, 6], "length", 7, 2), parsed)
    assert (reply.raw, reply.content, reply.reasoning) == ("raw", "content", "thought")
    assert (reply.finish_reason, reply.outcome) == ("length", "malformed")
    assert reply.notes == ["Not a valid call: it is not valid JSON.", "Cut off at max_new_tokens."]
    assert reply.to_message() == {"role": "assistant", "content": "content", "reasoning_content": "thought"}
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


TEXTS = [
    "Grüße aus Köln, naïve façade",
    "日本語のテキスト、ひらがなとカタカナ",
    "👩‍🚀 flies 🇩🇪 and 🏳️‍🌈 waves 👋🏽",
    "नमस्ते दुनिया مرحبا بالعالم",
    '{"a": [1, 2],\n\t"b": "  spaces  "}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_sum_to_the_text(text: str, smollm2_tokenizer: Any) -> None:
    ids = smollm2_tokenizer.encode(text, add_special_tokens=False)
    answer = AnswerText(smollm2_tokenizer)
    pieces = [answer.push(i) for i in ids]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == text, "a whole character was held back"
    assert answer.finish() == ""
    assert sum(map(bool, pieces)) > 1


def test_a_character_cut_by_the_end_is_marked(smollm2_tokenizer: Any) -> None:
    ids = smollm2_tokenizer.encode("ok 🫠", add_special_tokens=False)
    answer = AnswerText(smollm2_tokenizer)
    shown = "".join(answer.push(i) for i in ids[:-1])
    assert "ok" in shown and "\ufffd" not in shown
    assert set(answer.finish().strip()) == {"\ufffd"}


def test_a_stop_string_is_never_shown_in_part(smollm2_tokenizer: Any) -> None:
    text = "first line\n### Instruction: no\n"
    answer = AnswerText(smollm2_tokenizer, ["### Instruction"])
    shown = ""
    for token_id in smollm2_tokenizer.encode(text, add_special_tokens=False):
        shown += answer.push(token_id)
        assert "#" not in shown
        if answer.stopped:
            break
    assert answer.stop_string == "### Instruction"
    assert shown + answer.finish() == "first line\n"


def test_a_beginning_that_was_no_stop_string_is_shown_after_all(smollm2_tokenizer: Any) -> None:
    answer = AnswerText(smollm2_tokenizer, ["##END"])
    ids = smollm2_tokenizer.encode("a ## title and ##", add_special_tokens=False)
    pieces = [answer.push(i) for i in ids]
    assert "".join(pieces) == "a ## title and "
    assert answer.finish() == "##"
    assert answer.stop_string is None


def test_control_tokens_stay_unless_they_are_dropped(smollm2_tokenizer: Any) -> None:
    ids = smollm2_tokenizer.encode("<|im_start|>so<|endoftext|> be it", add_special_tokens=False)
    for dropped, text in (((), "<|im_start|>so<|endoftext|> be it"), (smollm2_tokenizer.all_special_ids, "so be it")):
        answer = AnswerText(smollm2_tokenizer, dropped=dropped)
        assert "".join(answer.push(i) for i in ids) + answer.finish() == answer.text == text


def test_the_earliest_of_several_stop_strings_wins(smollm2_tokenizer: Any) -> None:
    answer = AnswerText(smollm2_tokenizer, ["two", "one two"])
    for token_id in smollm2_tokenizer.encode("zero one two", add_special_tokens=False):
        answer.push(token_id)
    answer.finish()
    assert answer.text == "zero "


def test_held_back() -> None:
    assert held_back("abcEN", ["END"]) == 2
    assert held_back("abcEND", ["END"]) == 0, "a whole one is found elsewhere"
    assert held_back("aaa", ["aab"]) == 2
    assert held_back("", ["x"]) == held_back("x", []) == 0
