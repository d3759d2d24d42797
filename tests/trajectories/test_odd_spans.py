"""Spans that do not tell a whole call: cut off, failed, one answer in several messages, calls where nobody looks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb import traces
from shadownb.engine.traces.cut import is_cut, repaired
from shadownb.errors import DataError

CALL = {"name": "f", "arguments": "{}"}


def kv(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]


def span(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    return {"traceId": "t", "spanId": "s", "name": "chat", **times, "attributes": kv(attributes), **fields}


def read(attributes: dict[str, Any], **fields: Any) -> traces.Imported:
    return traces.from_otlp({"resourceSpans": [{"scopeSpans": [{"spans": [span(attributes, **fields)]}]}]})


def said(role: str, *texts: str, **fields: Any) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text} for text in texts], **fields}])


def genai(answer: str, prompt: str = said("user", "q")) -> dict[str, str]:
    return {"gen_ai.operation.name": "chat", "gen_ai.input.messages": prompt, "gen_ai.output.messages": answer}


LONG = 'a long answer that the SDK\'s limit for attributes cuts, quoting "itself" and back\\slashes'
WHOLE = said("assistant", LONG, finish_reason="stop")


@pytest.mark.parametrize("at", range(2, len(WHOLE) - 1, 7))
def test_json_that_is_cut_off_is_no_answer(at: int) -> None:
    found = read(genai(WHOLE[:at]))
    debris = [m for t in found for m in t.messages if "parts" in str(m["content"]) or '"role' in str(m["content"])]
    assert not debris
    assert not [call for t in found for call in t.calls if call.complete]
    if found:
        assert LONG.startswith(str(found[0].messages[-1]["content"]))
        assert "gen_ai.output.messages is cut off" in str(found.report)
        assert "1 of the answers is not whole and never trained" in found.report.summary()
        with pytest.raises(DataError, match="broke off"):
            traces.to_dataset(found)
    else:
        assert found.report.left_out


@pytest.mark.parametrize(
    "attributes",
    [
        genai(said("assistant", "fine"), said("user", "a long question")[:-8]),
        {**genai(said("assistant", "fine")), "gen_ai.tool.definitions": '[{"type": "function", "function": {"name": "f", "par'},
        {"input.value": '{"messages": [{"role": "user", "content": "a long',
         "output.value": json.dumps({"role": "assistant", "content": "fine"})},
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "q",
         "llm.output_messages.0.message.role": "assistant",
         "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
         "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"path": "/a/lo'},
    ],
    ids=["the prompt", "the tools", "a whole request", "the arguments of a call"],
)  # fmt: skip
def test_an_answer_to_what_was_cut_off_is_not_trained(attributes: dict[str, str]) -> None:
    (trajectory,) = read(attributes)
    assert (trajectory.calls[0].status, trajectory.calls[0].complete) == ("cut", False)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["x" * 1024], []), (["x" * 1024, "short"], ["short"]), (["x" * 4096, "y" * 1024], ["y" * 1024]),
        (["x" * 1021], ["x" * 1021]), (["x" * 128, "y" * 128, "short"], ["short"]), (["x" * 128, "short"], ["x" * 128, "short"]),
        (["x" * 1024, "y" * 1025], ["x" * 1024, "y" * 1025]),
    ],
)  # fmt: skip
def test_plain_texts_that_were_cut_at_a_limit(texts: list[str], whole: list[str]) -> None:
    spans = []
    for number, text in enumerate(texts):
        asked = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": f"q{number}"}
        said = {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": text}
        spans.append(span({**asked, **said}, spanId=str(number)))
    found = traces.from_otlp({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    assert len(found) == len(texts)
    assert sorted(t.final_content() for t in found if t.calls[0].complete) == sorted(whole)
    assert ("is cut off" in str(found.report)) is (len(whole) < len(texts))


@pytest.mark.parametrize(
    ("prompt", "answer", "whole"),
    [
        ("q", "__REDACTED__", False), ("__REDACTED__", "a", False), ("q", "<truncated due to size exceeding limit>", False),
        ("q", "a long ans... [truncated]", False), ("q", "what is [redacted] here is a name", True),
        ("is it [truncated]?", "no", True),
    ],
)  # fmt: skip
def test_placeholders_of_instrumentations_are_no_texts(prompt: str, answer: str, whole: bool) -> None:
    found = read(genai(said("assistant", answer), said("user", prompt)))
    assert [t.calls[0].complete for t in found] == [whole]
    assert ("hidden or cut off" in str(found.report)) is not whole


def test_texts_that_only_look_like_json_stay_texts() -> None:
    half = '{"label": "spam", "reason": "bec'  # a user asks what is wrong with it
    attributes = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": half,
                  "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "it has no end"}  # fmt: skip
    (trajectory,) = read(attributes)
    assert (trajectory.messages[0]["content"], trajectory.calls[0].complete) == (half, True)
    for text in ("[note] mail me", "{braces}", '{"a": 1} and more', "plain", "[1, 2]"):
        assert not is_cut(text)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=10,
    ),
    st.integers(0, 200),
)
def test_what_is_read_of_a_beginning_is_a_beginning(value: Any, at: int) -> None:
    text = json.dumps(value)
    found = repaired(text[:at]) if text[:1] in "[{" else None
    if isinstance(value, list) and isinstance(found, list) and found:
        assert found[:-1] == value[: len(found) - 1]
    if isinstance(value, dict) and isinstance(found, dict):
        assert set(found) <= set(value)


FAILED: list[dict[str, Any]] = [
    {"status": {"code": 2, "message": "timeout"}}, {"status": {"code": "STATUS_CODE_ERROR"}},
    {"status": {"status_code": "ERROR", "description": "timeout"}}, {"status_code": "ERROR", "status_message": "timeout"},
]  # fmt: skip


@pytest.mark.parametrize("failed", FAILED, ids=range(len(FAILED)))
def test_what_a_failed_span_got_is_not_trained(failed: dict[str, Any]) -> None:
    (trajectory,) = found = read(genai(said("assistant", "half")), **failed)
    assert (trajectory.final_content(), trajectory.calls[0].status, trajectory.calls[0].complete) == (
        "half",
        "error",
        False,
    )
    assert "the span failed" in str(found.report)
    (fine,) = read(genai(said("assistant", "all")), status={"code": 1})
    assert fine.calls[0].complete


def test_failures_of_langfuse_and_by_attribute() -> None:
    observation = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-01-01T00:00:00Z", "level": "ERROR",
                   "input": [{"role": "user", "content": "q"}], "output": {"role": "assistant", "content": "half"}}  # fmt: skip
    (trajectory,) = traces.from_otlp([observation])
    assert not trajectory.calls[0].complete
    (fine,) = traces.from_otlp([{**observation, "level": "DEFAULT"}])
    assert fine.calls[0].complete
    (typed,) = read({**genai(said("assistant", "half")), "error.type": "TimeoutError"})
    assert not typed.calls[0].complete


# -- one answer, several messages ----------------------------------------------------------------------------------------

IN, OUT = "llm.input_messages.0.message.", "llm.output_messages."
ASKED = {IN + "role": "user", IN + "content": "q"}
TEXT = {OUT + "0.message.role": "assistant", OUT + "0.message.content": "I look"}
CALLED = {OUT + "1.message.role": "assistant", OUT + "1.message.tool_calls.0.tool_call.function.name": "f",
          OUT + "1.message.tool_calls.0.tool_call.function.arguments": "{}"}  # fmt: skip
SECOND = {OUT + "1.message.role": "assistant", OUT + "1.message.content": "you see"}


def parts(*messages: dict[str, Any]) -> dict[str, str]:
    return genai(json.dumps([{"role": "assistant", **message} for message in messages]))


ONE_ANSWER = {
    "openinference": {**ASKED, **TEXT, **CALLED},
    "openinference, items of a response": {**ASKED, **TEXT, **SECOND, "output.value": json.dumps({"output": [{}, {}]})},
    "openinference, one asked for": {**ASKED, **TEXT, **SECOND, "llm.invocation_parameters": '{"temperature": 0}'},
    "otel": parts({"parts": [{"type": "text", "content": "I look"}]}, {"parts": [{"type": "tool_call", "id": "c", **CALL}]}),
    "openllmetry": {
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "q", "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "I look", "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.tool_calls.0.name": "f", "gen_ai.completion.1.tool_calls.0.arguments": "{}"},
    "requests": {
        "input.value": json.dumps({"messages": [{"role": "user", "content": "q"}]}),
        "output.value": json.dumps([{"role": "assistant", "content": "I look"},
                                    {"role": "assistant", "tool_calls": [{"id": "c", "function": CALL}]}])},
}  # fmt: skip


@pytest.mark.parametrize("told", ONE_ANSWER)
def test_one_answer_that_is_told_in_several_messages(told: str) -> None:
    (trajectory,) = read(ONE_ANSWER[told])
    _, answer = trajectory.messages
    assert answer["content"] == ("I look" if trajectory.tool_calls else "I lookyou see")
    assert [call["name"] for call in trajectory.tool_calls] == (["f"] if "you see" not in answer["content"] else [])


def test_events_of_one_choice_are_one_answer_and_those_of_two_are_two() -> None:
    def event(name: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "timeUnixNano": "1", "attributes": kv({"gen_ai.event.content": json.dumps(fields)})}

    asked = event("gen_ai.user.message", content="q")
    texts = event("gen_ai.choice", index=0, message={"content": "I look"})
    for index, expected in ((0, 1), (1, 2)):
        calls = event("gen_ai.choice", index=index, message={"tool_calls": [{"id": "c", "function": CALL}]})
        found = read({"gen_ai.operation.name": "chat"}, events=[asked, texts, calls])
        assert (len(found), sum(len(t.tool_calls) for t in found)) == (expected, 1)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"llm.invocation_parameters": '{"n": 2}'},
        {"output.value": json.dumps({"choices": [{"index": 0}, {"index": 1}]})},
    ],
    ids=["nothing said", "two asked for", "two in the response"],
)
def test_several_answers_stay_several(more: dict[str, str]) -> None:
    assert [t.final_content() for t in read({**ASKED, **TEXT, **SECOND, **more})] == ["I look", "you see"]


# -- LangChain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "calls", "reasoning"),
    [
        ({"additional_kwargs": {"tool_calls": [{"id": "c", "type": "function", "function": CALL}]}}, ["f"], None),
        ({"additional_kwargs": {"function_call": CALL, "reasoning_content": "Hm"}}, ["f"], "Hm"),
        ({"tool_calls": [{"name": "f", "args": {}, "id": "c"}],
          "additional_kwargs": {"tool_calls": [{"id": "c", "function": CALL}]}}, ["f"], None),
        ({"tool_calls": [], "invalid_tool_calls": [{"name": "f", "args": '{"p": ', "id": "c", "error": "no JSON"}]}, ["f"], None),
        ({"content": [{"type": "text", "text": "I look"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
          "tool_calls": [{"name": "f", "args": {}, "id": "c"}]}, ["f"], None),
    ],
    ids=["tool_calls", "function_call", "in both places", "calls that LangChain could not read", "Anthropic's blocks beside them"],
)  # fmt: skip
@pytest.mark.parametrize("as_generation", [False, True])
def test_calls_that_langchain_keeps_beside_the_text(
    output: dict[str, Any], calls: list[str], reasoning: str | None, as_generation: bool
) -> None:
    message = {"role": "assistant", "content": "I look", **output}
    if as_generation:
        message.pop("role")
        told: Any = {
            "generations": [
                [{"message": {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": message}}]
            ]
        }
    else:
        told = message
    observation = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-01-01T00:00:00Z",
                   "input": [{"role": "user", "content": "q"}], "output": told}  # fmt: skip
    (trajectory,) = traces.from_otlp([observation], thinking=True)
    assert trajectory.final_content() == "I look"
    assert [call["name"] for call in trajectory.tool_calls] == calls
    assert trajectory.messages[-1].get("reasoning_content") == reasoning


def test_the_finish_reason_that_langchain_keeps() -> None:
    message = {"role": "assistant", "content": "half", "response_metadata": {"finish_reason": "length"}}
    observation = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-01-01T00:00:00Z",
                   "input": [{"role": "user", "content": "q"}], "output": message}  # fmt: skip
    (trajectory,) = found = traces.from_otlp([observation])
    assert (trajectory.calls[0].finish_reason, trajectory.calls[0].complete) == ("length", False)
    assert "ended with 'length'" in str(found.report)


# -- depth ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [200, 400, 900])
def test_a_span_nested_too_deeply_is_one_span(levels: int) -> None:
    deep: Any = json.loads("[" * levels + "]" * levels)
    fine = span(genai(said("assistant", "fine")))
    odd = span(genai(said("assistant", "odd")), spanId="odd")
    odd["attributes"].append(
        {"key": "x", "value": {"stringValue": json.dumps(deep)}} if levels == 200 else {"key": "x", "value": deep}
    )
    content = span(
        genai(said("assistant", "odd"), f'[{{"role": "user", "parts": {json.dumps(deep)}}}]'), spanId="content"
    )
    found = traces.from_otlp({"resourceSpans": [{"scopeSpans": [{"spans": [odd, fine, content]}]}]})
    answers = {t.final_content() for t in found}
    assert answers == ({"odd", "fine"} if levels == 200 else {"fine"})  # a deep text that nobody reads is a text
    assert sum(entry.count for entry in found.report.left_out.values()) == (1 if levels == 200 else 2)
    lines = "\n".join(json.dumps(each) for each in (fine, odd))
    assert "fine" in {t.final_content() for t in traces.from_otlp(lines)}


def test_a_text_deeper_than_anything_reads_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="nested too deeply"):
        traces.from_otlp("[" * 100_000 + "]" * 100_000)


# -- what an instrumentation writes in places of its own -----------------------------------------------------------------

QUESTION = [{"role": "user", "content": "Who won?"}]


def generation(given: Any, output: Any, **more: Any) -> traces.Imported:
    times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:01Z"}
    return traces.from_otlp(
        [{"id": "o", "traceId": "t", "type": "GENERATION", **times, "input": given, "output": output, **more}]
    )


def test_a_call_that_is_the_whole_answer_of_the_responses_api() -> None:
    item = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a": 1}',
        "status": "completed",
    }
    (found,) = generation(QUESTION, item)
    assert [(c["id"], c["name"], c["arguments"]) for c in found.tool_calls] == [("c1", "f", {"a": 1})]
    assert found.trainable_turns == [1]


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_an_answer_of_the_responses_api_that_a_limit_ended(status: str) -> None:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "The team"}]}]
    (found,) = generation({"input": "Who won?"}, {"object": "response", "status": status, "output": output})
    assert found.trainable_turns == ([1] if status == "completed" else [])


@pytest.mark.parametrize(
    "output",
    [
        {"output": [{"type": "web_search_call", "id": "w", "status": "completed"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "They did."}]}]},
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
                                          {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                                          {"type": "text", "text": "They did."}]},
    ],
    ids=["responses", "messages"],
)  # fmt: skip
def test_an_answer_that_rests_on_what_the_provider_looked_up_is_not_trained(output: Any) -> None:
    imported = generation(QUESTION, output)
    (found,) = imported
    assert found.final_content() == "They did." and found.tool_calls == []
    assert found.trainable_turns == []
    assert "of the provider" in str(imported.report)


def test_tools_that_stand_among_the_messages_are_tools() -> None:
    schema = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    defined = {"role": "tool", "content": {"type": "function", "function": schema}}
    (found,) = generation([*QUESTION, defined], {"role": "assistant", "content": "They did."})
    assert [m["role"] for m in found.messages] == ["user", "assistant"]
    assert found.tools == [{"type": "function", "function": schema}]


def test_calls_without_ids_that_are_told_twice_are_told_once() -> None:
    place = "llm.output_messages.0.message."
    call = {"tool_call.function.name": "f", "tool_call.function.arguments": '{"a": 1}'}
    (found,) = read({
        "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "q",
        place + "role": "assistant", place + "contents.0.message_content.type": "tool_use",
        **{f"{place}tool_calls.0.{name}": value for name, value in call.items()},
        **{f"{place}contents.0.{name}": value for name, value in call.items()},
    })  # fmt: skip
    assert [(c["name"], c["arguments"]) for c in found.tool_calls] == [("f", {"a": 1})]


def test_a_failed_call_without_an_answer_is_told_as_failed() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": said("user", "q"),
    }
    report = read(attributes, status={"code": 2, "message": "429"}).report
    assert list(report.left_out) == ["the call failed and has no answer"]
