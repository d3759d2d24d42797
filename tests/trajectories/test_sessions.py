"""Session files of coding agents. Those in ``data/sessions`` were written by the agents themselves, with a scripted model; what
their vendors wrote into prompts is replaced."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import DataError

from .calls import answer, identity, result, user

SESSIONS = Path(__file__).parent / "data" / "sessions"
FINAL = "The weather in Paris is currently rainy with a temperature of 57°F."
ASKED = user("What's the weather in Paris?")
CALL = "call_VSPygqKTWdrhaFErNvMV18Yl"


def of_lines(*lines: dict[str, Any]) -> Any:
    return snb.traces.from_otlp("\n".join(json.dumps(line) for line in lines))


def test_a_session_of_claude_code_with_its_sub_agent() -> None:
    imported = snb.traces.from_spans(SESSIONS / "claude_code_2_1")
    whole, sub = imported
    notes = "/home/ada/project/notes.txt"
    looked = answer(
        "I'll look.",
        ("toolu_1", "Read", {"file_path": notes}),
        ("toolu_2", "Read", {"file_path": notes.replace("notes", "other")}),
    )
    task = {
        "description": "read notes",
        "prompt": "READ IT: read notes.txt and say what it says",
        "subagent_type": "general-purpose",
    }
    # Both results are there, though the way back from the next answer passes only one of them.
    assert identity(whole.messages[:4]) == identity(
        [ASKED, looked, result("toolu_1", "1\trainy, 57F\n2\t"), result("toolu_2", "1\tnothing\n2\t")]
    )
    assert identity(whole.messages[4:5]) == identity([answer(None, ("toolu_3", "Agent", task))])
    assert [m["content"] for m in whole.messages[6:]] == [FINAL, "second question: thanks", "You are welcome."]
    assert whole.trainable_turns == [1, 4, 6, 8]
    assert whole.usage["completion_tokens"] == 40 and whole.models == ["claude-x"]
    assert (sub.metadata["kind"], sub.metadata["parent_call"], sub.metadata["confidence"]) == (
        "subagent",
        "msg_2",
        "certain",
    )
    assert sub.final_content() == "The notes say: rainy, 57F."
    assert dict(imported.report.understood) == {"claude-code": 6}
    assert "do not hold the system prompt" in str(imported.report)
    assert snb.traces.to_dataset(SESSIONS / "claude_code_2_1").report.ok


def test_thoughts_of_a_session_are_kept_where_that_is_asked_for() -> None:
    folder = SESSIONS / "claude_code_2_1"
    assert "Two files at once." not in snb.traces.from_otlp(folder)[0].to_json()
    kept = snb.traces.from_otlp(folder, thinking=True)[0]
    assert kept.messages[1]["reasoning_content"] == "Two files at once."


def test_a_session_of_codex() -> None:
    (found,) = snb.traces.from_otlp(SESSIONS / "codex_0_171.jsonl")
    assert [m["role"] for m in found.messages] == [
        "system",
        "developer",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert identity(found.messages[3:5]) == identity(
        [ASKED, answer(None, (CALL, "exec_command", {"cmd": "cat notes.txt"}))]
    )
    assert found.messages[5]["tool_call_id"] == CALL and "rainy, 57F" in found.messages[5]["content"]
    assert found.final_content() == FINAL
    assert found.trainable_turns == [4, 6] and found.models == ["gpt-5"]
    assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (144, 69)
    assert snb.traces.to_dataset(SESSIONS / "codex_0_171.jsonl").report.ok


def test_a_session_of_pi() -> None:
    (found,) = snb.traces.from_otlp(SESSIONS / "pi_0_73.jsonl")
    asked = [ASKED, answer(None, (CALL, "read", {"path": "notes.txt"})), result(CALL, "rainy, 57F\n"), answer(FINAL)]
    assert identity(found.messages) == identity(asked)
    assert found.trainable_turns == [1, 3] and found.models == ["gpt-4-0613"]
    assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (144, 69)


def test_hugging_faces_session_format() -> None:
    call = {"id": "t1", "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'}}
    found, other = of_lines(
        {"type": "session", "harness": "my-agent", "id": "abc", "name": "time", "anything": 1},
        {"type": "message", "message": {"role": "system", "content": "Be brief."}},
        {"type": "message", "message": {"role": "user", "content": "What time is it?", "timestamp": 1767225600000}},
        {
            "type": "message",
            "message": {
                "role": "assistant",
                "content": "",
                "reasoningContent": "A clock.",
                "toolCalls": [call],
                "model": "m",
            },
        },
        {"type": "message", "message": {"role": "tool", "toolCallId": "t1", "content": "15:00"}},
        {"type": "message", "message": {"role": "assistant", "content": "It is 15:00.", "timestamp": 1767225602000}},
        {"type": "session", "harness": "my-agent", "id": "def"},
        {"type": "message", "message": {"role": "user", "content": "Hi"}},
        {"type": "message", "message": {"role": "assistant", "content": "Hello"}},
    )
    told = [
        user("What time is it?"),
        answer(None, ("t1", "get_time", {"zone": "UTC"})),
        result("t1", "15:00"),
        answer("It is 15:00."),
    ]
    by_session = {t.metadata["session"]: t for t in (found, other)}
    assert identity(by_session["abc"].messages[1:]) == identity(told)
    assert by_session["abc"].trainable_turns == [2, 4] and by_session["abc"].models == ["m"]
    assert by_session["def"].final_content() == "Hello"


def claude(name: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": role, "content": content, **more.pop("message", {})}
    return {"type": role, "uuid": name, "parentUuid": parent, "sessionId": "s", "message": message, **more}


def said(name: str, parent: str, text: str, stop: str | None, identifier: str) -> dict[str, Any]:
    facts = {"id": identifier, "model": "claude-x", "stop_reason": stop}
    return claude(name, parent, "assistant", [{"type": "text", "text": text}], message=facts)


def test_what_was_interrupted_refused_or_made_up_is_not_trained() -> None:
    imported = of_lines(
        claude("1", None, "user", "Write a poem."),
        said("2", "1", "Roses are", None, "m1"),
        claude("3", "2", "user", [{"type": "text", "text": "[Request interrupted by user]"}]),
        claude("4", "3", "user", "Go on."),
        said("5", "4", "Roses are red.", "end_turn", "m2"),
        claude("6", "5", "user", "And?"),
        {**said("7", "6", "API Error: 529 overloaded", "stop_sequence", "m3"), "isApiErrorMessage": True},
        claude("8", "7", "user", "Again."),
        said("9", "8", "Violets are", "max_tokens", "m4"),
    )
    (found,) = imported
    texts = [m["content"] for m in found.messages if m["role"] == "assistant"]
    assert texts == ["Roses are", "Roses are red.", "Violets are"]
    assert [found.messages[turn]["content"] for turn in found.trainable_turns] == ["Roses are red."]
    assert sum(entry.count for entry in imported.report.not_trained.values()) == 2


def test_a_conversation_that_was_taken_back_is_a_branch() -> None:
    imported = of_lines(
        claude("1", None, "user", "First?"),
        said("2", "1", "One.", "end_turn", "m1"),
        claude("3", "2", "user", "Second?"),
        said("4", "3", "Two.", "end_turn", "m2"),
        claude("5", "2", "user", "Another second?"),
        said("6", "5", "Also two.", "end_turn", "m3"),
    )
    kinds = {t.final_content(): t.metadata["kind"] for t in imported}
    assert kinds == {"Two.": "episode", "Also two.": "branch"}


def item(number: int, payload: dict[str, Any], kind: str = "response_item") -> dict[str, Any]:
    return {"timestamp": f"2026-01-01T00:00:{number:02}Z", "type": kind, "payload": payload}


def test_codex_calls_that_ran_before_their_answer_had_ended() -> None:
    def called(number: int, sampled: int) -> dict[str, Any]:
        payload = {"type": "function_call", "name": "f", "arguments": f'{{"n": {number}}}', "call_id": f"c{number}"}
        return {**item(number, payload), "metadata": {"sampled_through_sequence": sampled}}

    def output(number: int) -> dict[str, Any]:
        return item(number, {"type": "function_call_output", "call_id": f"c{number}", "output": f"r{number}"})

    done = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    search = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}}
    (found,) = of_lines(
        item(0, {"id": "s", "base_instructions": {"text": "You code."}}, "session_meta"),
        item(0, {"model": "gpt-5"}, "turn_context"),
        item(1, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}),
        called(1, 1), output(1), called(2, 1), output(2),
        item(3, search), item(3, done),
        item(4, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "More."}]}),
        item(5, done),
        item(6, {"type": "turn_aborted", "reason": "interrupted"}, "event_msg"),
    )  # fmt: skip
    both = answer(None, ("c1", "f", {"n": 1}), ("c2", "f", {"n": 2}))
    assert identity(found.messages[1:5]) == identity([user("Go."), both, result("c1", "r1"), result("c2", "r2")])
    assert found.trainable_turns == [2]  # one rests on a search of the provider, the other was stopped
    assert {call.why_not_complete for call in found.calls} == {
        "",
        "rests on web_search_call of the provider",
        "ended with 'aborted'",
    }


def test_a_shortened_history_of_pi_begins_with_its_summary() -> None:
    def entry(name: str, parent: str | None, **fields: Any) -> dict[str, Any]:
        return {"type": "message", "id": name, "parentId": parent, "timestamp": "2026-01-01T00:00:00Z", **fields}

    def one(role: str, text: str) -> dict[str, Any]:
        return {
            "role": role,
            "content": [{"type": "text", "text": text}],
            **({"stopReason": "stop"} if role == "assistant" else {}),
        }

    imported = of_lines(
        {"type": "session", "version": 3, "id": "s"},
        entry("a", None, message=one("user", "First?")),
        entry("b", "a", message=one("assistant", "One.")),
        entry("c", "b", message=one("user", "Second?")),
        entry("d", "c", message=one("assistant", "Two.")),
        entry("e", "d", type="compaction", summary="They counted to two.", firstKeptEntryId="c"),
        entry("f", "e", message=one("user", "Third?")),
        entry("g", "f", message=one("assistant", "Three.")),
    )
    last = next(t for t in imported if t.final_content() == "Three.")
    assert [m["content"] for m in last.messages] == ["They counted to two.", "Second?", "Two.", "Third?", "Three."]


def test_a_clock_that_is_set_back_orders_no_session_wrongly() -> None:
    def at(second: int, line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "timestamp": f"2026-01-01T00:00:{second:02}Z"}

    imported = of_lines(
        at(50, claude("1", None, "user", "First?")),
        at(51, said("2", "1", "One.", "end_turn", "m1")),
        at(10, claude("3", "2", "user", "Second?")),
        at(11, said("4", "3", "Two.", "end_turn", "m2")),
    )
    assert [t.trainable_turns for t in imported] == [[1, 3]]


def test_odd_lines_of_a_session_take_no_other_along() -> None:
    imported = of_lines(
        claude("1", None, "user", "First?"),
        said("2", "1", "One.", "end_turn", "m1"),
        {
            **claude("3", None, "assistant", 5, message={"id": {"x": 1}, "usage": "no", "model": ["m"]}),
            "parentUuid": {"a": 1},
        },
        {**claude("3", "3", "user", [5, {"type": "tool_result"}]), "sessionId": 5},
    )
    assert [t.final_content() for t in imported if t.messages[0]["content"] == "First?"] == ["One."]


def test_a_compressed_file(tmp_path: Path) -> None:
    packed = gzip.compress((SESSIONS / "pi_0_73.jsonl").read_bytes())
    (tmp_path / "s.jsonl.gz").write_bytes(packed)
    assert len(snb.traces.from_otlp(tmp_path)) == len(snb.traces.from_otlp(tmp_path / "s.jsonl.gz")) == 1
    (tmp_path / "half.gz").write_bytes(packed[:200])
    with pytest.raises(DataError, match="cannot be unpacked"):
        snb.traces.from_otlp(tmp_path / "half.gz")


def test_a_folder_of_anything_and_lines_that_break_off(tmp_path: Path) -> None:
    text = (SESSIONS / "pi_0_73.jsonl").read_text()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.jsonl").write_text(text[: len(text) - 200])  # it is being written
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "notes.md").write_text("# not read")
    imported = snb.traces.from_spans(tmp_path)
    assert [t.trainable_turns for t in imported] == [[1]]
    assert {"the file cannot be read", "the line is not valid JSON"} <= set(imported.report.left_out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no trace export"):
        snb.traces.from_otlp(tmp_path / "empty")
