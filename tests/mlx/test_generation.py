"""Answers are those of the torch backend: token by token, with the same ends, limits, penalties, readers and errors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.engine.backends.mlx.together import Together
from shadownb.engine.inference import Sampling
from shadownb.engine.inference.draws import row_draws
from shadownb.engine.inference.numpy_sampler import Sampler
from shadownb.engine.inference.rows import Row
from shadownb.engine.inference.text import AnswerText
from shadownb.errors import ConfigError, ModelError
from tests.engine.methods_data import tool_chat

QUESTIONS = [[{"role": "user", "content": f"Colour number {n}?" + " Please." * n}] for n in range(4)]


@pytest.fixture(scope="module")
def both(home: Path, byte_model_dir: Path) -> tuple[Any, Any]:
    made = [snb.load(str(byte_model_dir), backend=name, dtype="float32", max_length=256) for name in ("torch", "mlx")]
    return made[0], made[1]


def said(replies: Any) -> list[tuple[list[int], str, str, dict[str, int]]]:
    return [(reply.token_ids, reply.raw, reply.finish_reason, reply.usage) for reply in replies]


@pytest.mark.parametrize(
    "options",
    [{}, {"repetition_penalty": 1.7}, {"max_new_tokens": 3}, {"top_k": 1, "temperature": 2.0, "seed": 1}],
    ids=lambda options: " ".join(options) or "greedy",
)
def test_the_same_tokens_and_log_probabilities(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    asked = {"temperature": 0.0, "max_new_tokens": 24, "logprobs": True, **options}
    theirs, mine = (model.chat(QUESTIONS, **asked) for model in both)
    assert said(mine) == said(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_a_stop_string_ends_a_text_in_the_middle_of_a_stream(both: tuple[Any, Any]) -> None:
    torch_model, model = both
    whole = torch_model.chat(QUESTIONS[1], temperature=0.0, max_new_tokens=24).raw
    stop = whole[4:6]
    replies = [each.chat(QUESTIONS[1], temperature=0.0, max_new_tokens=24, stop=stop) for each in both]
    assert said(replies[:1]) == said(replies[1:]) and stop not in replies[1].raw
    stream = model.stream(QUESTIONS[1], temperature=0.0, max_new_tokens=24, stop=stop)
    pieces = list(stream)
    assert "".join(pieces) == replies[1].content and not any(stop in piece for piece in pieces)


def test_a_prompt_longer_than_what_is_computed_at_once(both: tuple[Any, Any]) -> None:
    long = "word " * 150  # 750 bytes, and a token each
    theirs, mine = (model.generate(long, template=False, temperature=0.0, max_new_tokens=6) for model in both)
    assert mine == theirs


def test_a_conversation_with_tools_is_read_by_the_same_reader(both: tuple[Any, Any]) -> None:
    chat = tool_chat()
    theirs, mine = (
        model.chat(chat["messages"][:4], tools=chat["tools"], temperature=0.0, max_new_tokens=12) for model in both
    )
    assert (mine.content, mine.tool_calls, mine.reasoning, mine.outcome, mine.usage) == (
        theirs.content, theirs.tool_calls, theirs.reasoning, theirs.outcome, theirs.usage
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "options", "kind"),
    [
        ("x" * 1100, {}, ModelError),
        ("Hello", {"use": "nobody"}, Exception),
        ("Hello", {"temperature": -1}, ConfigError),
    ],
    ids=["too long", "unknown weights", "cold"],
)
def test_what_cannot_be_answered_is_the_same_error(
    both: tuple[Any, Any], prompt: str, options: dict[str, Any], kind: Any
) -> None:
    told = []
    for model in both:
        with pytest.raises(kind) as caught:
            model.generate(prompt, template=False, **options)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_prompt_without_tokens_is_the_same_error(both: tuple[Any, Any]) -> None:
    told = []
    for model in both:
        with pytest.raises(ModelError) as caught:
            model.generator.generate([[1], []], Sampling())
        told.append(str(caught.value))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    [
        {}, {"temperature": 0.7, "top_p": 0.9}, {"top_k": 5, "top_p": 0.6}, {"top_p": 0.05}, {"min_p": 0.2},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    ],
    ids=lambda options: " ".join(options) or "drawn",
)  # fmt: skip
def test_a_seed_draws_the_same_tokens_on_both(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    """The luck of a row is one rule for every backend, also of rollouts; logits differ by rounding alone."""
    asked = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 16, "seed": 7, "logprobs": True, **options}
    theirs, mine = (model.chat(QUESTIONS, **asked) for model in both)
    assert said(mine) == said(theirs)
    found = []
    for model in both:
        prompts = [model.renderer.render_prompt(question) for question in QUESTIONS[:2]]
        rollouts = model.generator.rollouts(prompts, 3, Sampling(**{**asked, "logprobs": False}))
        found.append({(each.prompt, each.sample): each.completion for each in rollouts})
    assert found[0].keys() == found[1].keys() and len(found[0]) == 6
    for place, one in found[1].items():
        other = found[0][place]
        assert (one.token_ids, one.text, one.finish_reason) == (other.token_ids, other.text, other.finish_reason)
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-5)


def test_the_evaluation_harness_gets_the_same_numbers_of_both(both: tuple[Any, Any]) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: make setup-dev")
    from shadownb.engine.evals.lm_eval.model import ShadowLM

    asked = [(f"Question {number}?", each) for number in range(3) for each in (" red", " dark green")] + [
        ("", "Alone.")
    ]
    requests = [SimpleNamespace(args=each, task_name="t") for each in asked]
    theirs, mine = (ShadowLM(model).loglikelihood(requests) for model in both)
    assert [value for value, _ in mine] == pytest.approx([value for value, _ in theirs], abs=1e-4)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in theirs]


def test_a_group_that_is_gone_on_with_is_decoded_whole(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of other shapes may have other last bits, so what is missing is decoded beside what is there already."""
    model = both[1]
    sizes: list[int] = []
    prompts = [model.renderer.render_prompt(question) for question in QUESTIONS[:3]]
    asked = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=8, seed=3)
    first = Together._first
    monkeypatch.setattr(Together, "_first", lambda self: sizes.append(len(self.live)) or first(self))

    def found(skip: Any = ()) -> dict[Any, Any]:
        rollouts = model.generator.rollouts(prompts, 5, asked, skip=skip)
        return {(each.prompt, each.sample): vars(each.completion) for each in rollouts}

    whole = found()
    rest = found([(0, 0), (0, 1), (0, 2), (0, 4), *((1, sample) for sample in range(5))])
    assert rest == {place: whole[place] for place in rest}
    assert rest.keys() == {(0, 3), *((2, sample) for sample in range(5))}
    assert sizes == [5, 5, 5, 5, 5], "of the group that was whole already nothing is decoded"


def test_a_draw_follows_the_distribution_that_is_kept() -> None:
    """Of many draws each token comes as often as its share among those that top_p keeps."""
    logits = np.log(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32))

    def drawn(seed: int, number: int, **options: Any) -> int:
        asked = Sampling(temperature=1.0, **options)
        text = AnswerText(None)
        row = Row(number, [0], 4, text, "tuned", frozenset(), row_draws(seed, number), asked)
        return Sampler(asked).take([row], logits)[0][0]

    counts = np.bincount([drawn(seed, 0, top_p=0.85) for seed in range(3000)], minlength=4)
    assert counts[3] == 0 and np.abs(counts[:3] / 3000 - np.array([4, 3, 2]) / 9).max() < 0.03
    rare = np.bincount([drawn(seed, 0, top_p=0.3) for seed in range(200)], minlength=4)
    assert rare[0] == 200, "after three tries the likeliest are sorted"
    assert len({drawn(7, number) for number in range(40)}) > 1, "each prompt has luck of its own"
