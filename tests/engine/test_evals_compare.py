"""The base-vs-tuned comparison: cases, statistics, tables, on stand-in answers and on a real model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.engine.data import Dataset
from shadownb.engine.evals import ComparedRow, Comparison, compare
from shadownb.engine.evals.cases import cases_of
from shadownb.engine.evals.statistics import bootstrap_interval, mean_interval, sign_test, wilson_interval
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference import Reply, Sampling, WeightsGate
from shadownb.engine.rendering import Renderer
from shadownb.engine.replies import ParsedReply
from shadownb.errors import ConfigError, DataError, ModelError, ShadowWarning
from tests.engine.template_families import family


class Judged:
    """A score as scorers return it."""

    def __init__(self, value: float, reason: str) -> None:
        self.value = value
        self.reason = reason


def exact(output: str, expected: str, prompt: str | None = None) -> Judged:
    return Judged(float(output == expected), f"asked {prompt}: {'same' if output == expected else 'differs'}")


class Parrot:
    """Answers from a table, by side and by the last message; remembers every call."""

    trained = ("run", 3)

    def __init__(self, base: dict[str, str], tuned: dict[str, str]) -> None:
        self.answers = {"base": base, "tuned": tuned}
        self.calls: list[dict[str, Any]] = []

    def chat(self, conversations: list[list[dict[str, Any]]], *, use: str, **options: Any) -> list[Reply]:
        self.calls.append({"use": use, "asked": [c[-1]["content"] for c in conversations], **options})
        return [Reply(self.answers[use].get(c[-1]["content"], "?")) for c in conversations]


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


ROWS = [row("a", "1"), row("b", "2"), row("c", "3"), row("d", "4")]


@pytest.fixture
def parrot() -> Parrot:
    return Parrot(base={"a": "1", "d": "4"}, tuned={"b": "2", "c": "3", "d": "4"})


def test_both_sides_are_scored_and_paired(parrot: Parrot) -> None:
    seen: list[tuple[int, int]] = []
    result = compare(parrot, ROWS, exact, progress=lambda done, total: seen.append((done, total)), batch_rows=3)
    assert [(r.base_score, r.tuned_score) for r in result] == [(1, 0), (0, 1), (0, 1), (1, 1)]
    assert (result.wins, result.losses, result.ties) == (2, 1, 1)
    assert (result.base, result.tuned, result.difference) == (0.5, 0.75, 0.25)
    assert result.p_value == 1.0
    assert result.rows[0].tuned == "?" and result.rows[0].expected == "1"
    assert result.rows[1].tuned_reason == "asked b: same"
    assert result.scorer == "exact"
    assert [(c["use"], c["asked"]) for c in parrot.calls] == [
        ("base", ["a", "b", "c"]),
        ("tuned", ["a", "b", "c"]),
        ("base", ["d"]),
        ("tuned", ["d"]),
    ]
    assert all(c["temperature"] == 0 for c in parrot.calls)
    assert seen == [(3, 8), (6, 8), (7, 8), (8, 8)]


def test_worst_and_regressions(parrot: Parrot) -> None:
    result = compare(parrot, [*ROWS, row("e", "5")], exact)
    assert [r.prompt for r in result.worst(2)] == ["a", "e"], "what got worse comes before what stayed bad"
    assert [r.prompt for r in result.regressions()] == ["a"]
    assert len(result.worst(99)) == 5


def test_the_context_ends_before_the_last_assistant_turn() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "u2"},
        {"role": "assistant", "content": "a2"},
        {"role": "user", "content": "after"},
    ]
    (case,), skipped = cases_of([{"messages": messages}])
    assert case.messages == messages[:4]
    assert case.expected == "a2"
    assert skipped == 0


def test_rows_without_an_answer_are_counted_and_none_at_all_is_an_error(parrot: Parrot) -> None:
    odd = [{"text": "x"}, {"messages": [{"role": "user", "content": "u"}]}, {"messages": []}]
    result = compare(parrot, [*odd, *ROWS], exact)
    assert result.skipped == 3
    assert [r.index for r in result] == [3, 4, 5, 6]
    assert "3 rows without a reference answer" in str(result)
    with pytest.raises(DataError, match="None of the 3 rows"):
        compare(parrot, odd, exact)


def test_rows_keep_the_number_they_have_in_their_dataset(parrot: Parrot) -> None:
    dataset = Dataset.from_list([{"messages": "broken"}, *ROWS])
    result = compare(parrot, dataset, exact)
    assert [r.index for r in result] == [1, 2, 3, 4]
    assert result.skipped == 1


def test_rows_with_other_tools_go_in_other_calls(parrot: Parrot) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    compare(parrot, [ROWS[0], row("b", "2", tools=tools), row("c", "3", tools=tools)], exact)
    assert [(c["asked"], c.get("tools")) for c in parrot.calls if c["use"] == "tuned"] == [
        (["a"], None),
        (["b", "c"], tools),
    ]


def said(message: dict[str, Any]) -> str:
    return Turn.of_message(message).text


def test_tool_calls_are_compared_as_structures() -> None:
    wire = {"function": {"name": "f", "arguments": '{"y": [1.0, {"b": 2, "a": 1}], "x": 1}'}}
    plain = {"name": "f", "arguments": {"x": 1, "y": [1, {"a": 1, "b": 2}]}}
    assert said({"content": None, "tool_calls": [wire]}) == said({"content": "", "tool_calls": [plain]})
    assert said({"tool_calls": [wire]}).startswith('[{"name": "f", "arguments": {"x": 1')
    assert said({"content": "so", "tool_calls": [plain]}).startswith("so\n[{")
    assert said({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}) == "ab"
    other = {"name": "g", "arguments": {}}
    assert said({"tool_calls": [plain, other]}) != said({"tool_calls": [other, plain]}), "the order of calls counts"
    assert said({"content": "<think>Hm.</think>Fine."}) == "Fine.", "reasoning in a reference is no part of the answer"


class Scripted(Parrot):
    """Answers every question with the same reply."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__({}, {})
        self.replies = replies

    def chat(self, conversations: list[list[dict[str, Any]]], *, use: str, **options: Any) -> list[Reply]:
        self.calls.append({"use": use, **options})
        return [self.replies[number % len(self.replies)] for number in range(len(conversations))]


TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALL_ROW = {
    "messages": [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": 2}}}],
        },
    ],
    "tools": TOOLS,
}


def test_called_abstained_and_malformed_are_three_outcomes() -> None:
    replies = (
        Reply("", [{"name": "f", "arguments": {"b": 2, "a": 1}}]),
        Reply("I'd rather not."),
        Reply("", malformed_calls=[{"text": "<tool_call>{", "reason": "it is not valid JSON"}]),
        Reply("half of it", finish_reason="length"),
    )
    result = compare(Scripted(*replies), [CALL_ROW] * 4, snb.Exact())
    assert [row.tuned_score for row in result] == [1.0, 0.0, 0.0, 0.0]
    assert [row.outcomes for row in result] == [
        (kind, kind) for kind in ("called", "abstained", "malformed", "abstained")
    ]
    assert result.rows[2].tuned == "<tool_call>{" and result.rows[3].tuned_notes == ("cut at the limit",)
    shown = str(result)
    assert "tuned called 1, abstained 2, malformed 1" in shown
    assert "with a malformed call: 1 of the base, 1 of the tuned" in shown
    assert "finish_reason 'length'): 1 of the base, 1 of the tuned" in shown
    assert "[cut at the limit]" in result._repr_html_()
    assert list(result.to_frame()["tuned_notes"])[3] == ("cut at the limit",)


class Speaker:
    """Answers every row with one text, taken apart as a model of that family takes it apart."""

    trained = ("run", 3)

    def __init__(self, name: str, text: str) -> None:
        self.renderer = Renderer(family(name))
        self.text = text

    def chat(self, conversations: list[Any], *, tools: Any = None, **options: Any) -> list[Reply]:
        parsed = self.renderer.read_reply(self.text, tools or [], prompt=[])
        return [
            Reply(parsed.content, reasoning=parsed.reasoning, tool_calls=tuple(parsed.tool_calls))
            for _ in conversations
        ]


F = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}]
CALL_TEXT = '{"name": "f", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("qwen3", f"<tool_call>\n{CALL_TEXT}\n</tool_call>", f"<tool_call>{CALL_TEXT}</tool_call>"),
        ("llama3_2", '{"name": "f", "parameters": {"a": 1}}', '{"name": "f", "parameters": {"a": 1.0}}'),
        ("lfm2_v2", "<|tool_call_start|>[f(a=1)]<|tool_call_end|>", "<|tool_call_start|>[f( a=1 )]<|tool_call_end|>"),
        ("gemma4", "<|channel>thought\nHm.\n<channel|>Yes.", "Yes."),
    ],
)  # fmt: skip
def test_a_reference_in_the_model_s_own_markup_is_read_as_its_answers_are(name: str, text: str, same: str) -> None:
    """Its calls stand in its text, while those of an answer come apart: every right answer would be scored 0."""
    tools = {} if name == "qwen3" else {"tools": F}  # where the system text lists them, a row has no column of them
    result = compare(Speaker(name, same), [row("a", text, **tools)], snb.Exact())
    assert result.rows[0].tuned_score == 1.0, result.rows[0]


def test_a_reference_that_cannot_be_scored_is_one_row() -> None:
    rows = [row("a", '{"x": 1}'), row("b", "n/a"), row("c", '{"x": 2}')]
    model = Scripted(Reply('{"x": 1}'))
    result = compare(model, rows, snb.JsonExact())
    assert [r.index for r in result] == [0, 2] and result.tuned == 0.5
    assert [(r.index, "not valid JSON" in r.reason) for r in result.unscored] == [(1, True)]
    assert "1 row could not be scored and is in no mean: row 1" in str(result)
    assert "in no mean" in result._repr_html_()
    with pytest.raises(DataError, match="None of the 1 rows can be scored"):
        compare(model, rows[1:2], snb.JsonExact())


@pytest.mark.parametrize(
    ("scorer", "says"),
    [
        (lambda output, expected, prompt=None: None, "returned None, not a number"),
        (lambda output, expected: "good", "returned 'good', not a number"),
        (lambda output, expected: 1 / 0, "ZeroDivisionError"),
        (lambda output: 1.0, r"cannot be called as scorer\(output, expected\)"),
        (lambda output, expected, question: 1.0, "cannot be called as"),
        ("exct", r"No scorer is named 'exct'\. Did you mean 'exact'"),
        (3, "scorer=3 cannot be called"),
    ],
)
def test_a_scorer_that_cannot_score_is_refused_before_anything_is_generated(scorer: Any, says: str) -> None:
    model = Scripted(Reply("x"))
    with pytest.raises(ConfigError, match=says):
        compare(model, ROWS, scorer)
    assert model.calls == []


def test_a_scorer_needs_no_prompt(parrot: Parrot) -> None:
    assert compare(parrot, ROWS, lambda output, expected: output == expected).tuned == 0.75


def test_an_output_that_cannot_be_scored_is_one_row(parrot: Parrot) -> None:
    def fragile(output: str, expected: str) -> float | None:
        if output == "?":
            raise KeyError("no such verdict")
        return float(output == expected)

    result = compare(parrot, ROWS, fragile)
    assert [r.index for r in result] == [3] and result.tuned == 1.0
    told = {r.index: (r.reason, r.base, r.tuned) for r in result.unscored}
    assert told[0][1:] == ("1", "?") and "KeyError" in told[0][0]
    with pytest.raises(ConfigError, match="could score none of the 3 rows"):
        compare(parrot, ROWS[:3], fragile)


def test_a_row_that_cannot_be_asked_is_one_row() -> None:
    """Of a model that is not ours nothing is known before it is asked; the others of its batch are answered all the same."""

    class Picky(Scripted):
        def chat(self, conversations: list[list[dict[str, Any]]], *, use: str, **options: Any) -> list[Reply]:
            if any(turns[-1]["content"] == "b" for turns in conversations):
                raise ModelError("Too long for this model.")
            return super().chat(conversations, use=use, **options)

    result = compare(Picky(Reply("1")), ROWS, exact)
    assert [r.index for r in result] == [0, 2, 3] and result.base == pytest.approx(1 / 3)
    assert [(r.index, "cannot be asked: Too long" in r.reason) for r in result.unscored] == [(1, True)]
    with pytest.raises(ModelError, match="Too long"):
        compare(Picky(Reply("1")), ROWS[1:2], exact)


def test_options_reach_the_model_and_a_sampled_comparison_is_seeded(parrot: Parrot) -> None:
    result = compare(parrot, ROWS, exact, sampling=Sampling(temperature=1, stop=("x",), top_k=5), max_rows=2)
    assert len(result) == 2
    assert {c["seed"] for c in parrot.calls} == {0}
    assert parrot.calls[0]["stop"] == ("x",) and parrot.calls[0]["top_k"] == 5
    with pytest.raises(ConfigError, match="max_rows=0"):
        compare(parrot, ROWS, exact, max_rows=0)


def test_an_untrained_model_is_warned_about(parrot: Parrot) -> None:
    parrot.trained = None  # type: ignore[assignment]
    with pytest.warns(ShadowWarning, match="not trained"):
        compare(parrot, ROWS, exact)


def test_a_scorer_may_return_a_number_but_not_nan(parrot: Parrot) -> None:
    assert compare(parrot, ROWS, lambda output, expected, prompt=None: output == expected).tuned == 0.75
    with pytest.raises(ConfigError, match=r"row 0: the scorer gave nan"):
        compare(parrot, ROWS, lambda output, expected, prompt=None: math.nan)


def made(pairs: list[tuple[float, float]]) -> Comparison:
    return Comparison(
        tuple(
            ComparedRow(i, [{"role": "user", "content": f"<b>{i}</b>"}], "e", "o", "<script>", b, t)
            for i, (b, t) in enumerate(pairs)
        ),
        scorer="json",
    )


def test_the_table_says_what_was_measured() -> None:
    result = made([(0, 1)] * 18 + [(1, 1)] + [(0, 0)])
    text = str(result)
    assert "20 held-out rows, scored by json, greedy" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["base", "5.0", "%", "0.9", "to", "23.6"] in lines
    assert ["tuned", "95.0", "%", "76.4", "to", "99.1"] in lines
    assert "+90.0 points" in text
    low, high = result.interval
    assert f"{100 * low:+.1f} to {100 * high:+.1f}" in text
    assert "18 better, 0 worse, 2 the same; exact sign test p below 0.0001" in text
    assert max(map(len, text.splitlines())) <= 100
    assert result.interval == made([(0, 1)] * 18 + [(1, 1)] + [(0, 0)]).interval, "the interval is not reproducible"


def test_equal_changes_are_not_sold_as_certainty() -> None:
    assert "no spread" in str(made([(0, 1)] * 4))
    assert "p 0.1250" in str(made([(0, 1)] * 4))
    assert "no spread" not in str(made([(0, 1)] * 4 + [(0, 0)]))


def test_scores_beyond_one_are_not_shown_as_percent() -> None:
    assert "%" not in str(made([(0, 7.5), (3, 2)])).replace("95 %", "")


def test_html_escapes_what_models_say() -> None:
    shown = made([(0, 1), (1, 0)])._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "<b>" not in shown
    assert repr(made([(0, 1)])) == "Comparison(1 rows, base=0.000, tuned=1.000)"


def test_frame_and_summary() -> None:
    result = made([(0, 1), (1, 0)])
    frame = result.to_frame()
    assert list(frame["difference"]) == [1, -1]
    assert list(frame["prompt"]) == ["<b>0</b>", "<b>1</b>"]
    assert json.loads(json.dumps(result.to_dict()))["wins"] == 1


def test_sign_test_is_exact() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == 2 / 32
    assert sign_test(1, 7) == pytest.approx(2 * 9 / 256)
    assert sign_test(3, 3) == 1.0
    assert 0 < sign_test(4000, 3000) < 1e-30


def test_wilson_interval_against_published_values() -> None:
    # Newcombe 1998, table I: 81/263 and 0/20 and 1/29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    inside = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.normal(0.3, 1.0, 50))
        inside += low <= 0.3 <= high
    assert 0.88 <= inside / 200 <= 0.99
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]
    assert all(map(math.isnan, bootstrap_interval([])))
    assert mean_interval([0, 1, 1]) == wilson_interval(2, 3)
    assert mean_interval([0.2, 0.4]) == bootstrap_interval([0.2, 0.4])


def test_base_and_tuned_of_a_real_model(tiny_model_dir: Path, tiny_tokenizer: Any) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator

    state = torch.get_rng_state()
    plain = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    peft = get_peft_model(plain, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    torch.set_rng_state(state)
    generator = TransformersGenerator(peft, tiny_tokenizer, WeightsGate(), stop_token_ids=[2])

    class Chat:
        def chat(self, conversations: Any, *, use: Any, **options: Any) -> list[Reply]:
            prompts = [tiny_tokenizer.encode(c[-1]["content"]) for c in conversations]
            completions = generator.generate(prompts, Sampling(**options), use=use)
            return [Reply.from_completion(c, ParsedReply(c.text)) for c in completions]

    model = Chat()
    questions = ["Hello there", "What is it?", "Once upon a time"]
    ask = [[{"role": "user", "content": q}] for q in questions]
    sides = {
        use: [r.content for r in model.chat(ask, use=use, max_new_tokens=12, temperature=0)]
        for use in ("base", "tuned")
    }
    rows = [row(q, tuned) for q, tuned in zip(questions, sides["tuned"], strict=True)]
    result = compare(model, rows, exact, sampling=Sampling(temperature=0, max_new_tokens=12))
    assert [r.base for r in result] == sides["base"]
    assert (result.base, result.tuned, result.wins) == (0.0, 1.0, 3)


def test_a_base_that_has_answered_is_not_asked_again(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "x"}]} for n in range(3)
    ]
    tiny.train(rows, max_steps=1, background=False, sample_max_new_tokens=0)
    first = snb.compare(tiny, rows, snb.Exact(), max_new_tokens=3)
    assert first.reused == 0
    asked: list[str] = []
    chat = tiny.chat

    def counted(*args: Any, **options: Any) -> Any:
        asked.append(options["use"])
        return chat(*args, **options)

    monkeypatch.setattr(tiny, "chat", counted)
    again = snb.compare(tiny, rows, snb.Exact(), max_new_tokens=3)
    assert asked == [] and again.reused == 6 and "6 answers were kept" in str(again)
    assert again.rows == first.rows
    snb.compare(tiny, rows, snb.Exact(), max_new_tokens=2)
    assert asked == ["base", "tuned"], "other sampling is another question"
    snb.compare(tiny, rows, snb.Exact(), max_new_tokens=3, reuse_answers=False)
    assert asked == ["base", "tuned"] * 2
    tiny.train(rows, max_steps=1, background=False, sample_max_new_tokens=0)
    snb.compare(tiny, rows, snb.Exact(), max_new_tokens=3)
    assert asked == [*["base", "tuned"] * 2, "tuned"], "other weights are asked again, the same base is not"


def test_kept_answers_are_those_of_the_weights_that_gave_them(tiny: Any) -> None:
    """Whatever the weights are called: an adapter that was changed by hand has no run and no name of its own."""
    import torch

    rows = [row(f"{n}?", "x") for n in range(3)]
    tiny.train(rows, max_steps=1, background=False, sample_max_new_tokens=0)
    before = snb.compare(tiny, rows, snb.Exact(), max_new_tokens=6)
    with torch.no_grad():
        for parameter in tiny.adapter.owned().values():
            parameter.normal_(0, 0.5)
    after = snb.compare(tiny, rows, snb.Exact(), max_new_tokens=6)
    assert [r.base for r in after] == [r.base for r in before]
    assert after.reused == 3
    asked = tiny.chat([r.messages for r in after], max_new_tokens=6, temperature=0)  # in one batch, as it was compared
    assert [r.tuned for r in after] == [reply.content for reply in asked]
    assert [r.tuned for r in after] != [r.tuned for r in before]


def test_a_comparison_that_broke_off_goes_on(tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"{n}?", "x") for n in range(4)]
    chat = tiny.chat
    asked: list[int] = []

    def breaks(conversations: Any, **options: Any) -> Any:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(conversations))
        return chat(conversations, **options)

    monkeypatch.setattr(tiny, "chat", breaks)
    with pytest.raises(KeyboardInterrupt):
        snb.compare(tiny, rows, snb.Exact(), max_new_tokens=2, batch_rows=1)
    monkeypatch.setattr(tiny, "chat", chat)
    (home / "answers" / "broken.json").write_text("{", encoding="utf-8")
    result = snb.compare(tiny, rows, snb.Exact(), max_new_tokens=2, batch_rows=1)
    # Base and tuned are the same weights here, so each question is asked once: three were answered.
    assert (len(result), result.reused >= 3) == (4, True)
