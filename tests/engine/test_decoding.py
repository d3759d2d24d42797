"""Rows decoded together: each architecture as transformers decodes it, shared prompts, waiting rows, and the plain way."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from shadownb.engine.backends.torch.generation import attending, decoder, generator, sampler, seen, support
from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
from shadownb.engine.backends.torch.generation.sampler import ExactConfig
from shadownb.engine.inference import Sampling, WeightsGate
from shadownb.errors import ModelError
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.engine.test_packing import ARCHITECTURES, made
from tests.tiny_models import TEMPLATE

pytestmark = pytest.mark.other_cpu

START = list(range(100, 140))
PROMPTS = [[*START, 150, 151, 152], [5], [*START, *range(160, 180)], [*START, *range(160, 170), 7], [9, 8, 7, 6]]
GREEDY = Sampling(temperature=0, max_new_tokens=14, logprobs=True)
DRAWN = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=14, seed=4, logprobs=True)


@functools.cache
def _tokenizer() -> Any:
    return byte_tokenizer(TEMPLATE)


def over(model: Any, **options: Any) -> TransformersGenerator:
    return TransformersGenerator(model, _tokenizer(), WeightsGate(), **{"stop_token_ids": [2], **options})


def alone(model: Any, prompt: list[int], new: int) -> list[int]:
    """Return the likeliest tokens as transformers generates them for one prompt, up to a stop token."""
    ids = torch.tensor([prompt])
    config = ExactConfig(max_new_tokens=new, pad_token_id=0, eos_token_id=2)
    found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return found[0, len(prompt) :].tolist()  # type: ignore[no-any-return]


def teacher_forced(model: Any, prompt: list[int], ids: list[int]) -> list[float]:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_an_architecture_is_decoded_as_the_library_does(name: str) -> None:
    """Those that several rows can be packed for are decoded together, the others by the library; both say the same."""
    model = made(name)
    assert (support.refused(model) == "") == (ARCHITECTURES[name][1] == "rows"), support.refused(model)
    answers = over(model).generate(PROMPTS, GREEDY)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.token_ids == alone(model, prompt, 14)
        assert answer.logprobs == pytest.approx(teacher_forced(model, prompt, answer.token_ids), abs=2e-5)


@pytest.mark.parametrize("extreme", [{"temperature": 1e-6}, {"temperature": 1000.0}, {"repetition_penalty": 100.0}])
def test_the_least_and_the_most_that_is_taken_can_be_drawn_from(extreme: dict[str, float]) -> None:
    answers = over(made("llama")).generate(PROMPTS, Sampling(max_new_tokens=4, seed=1, **extreme))  # type: ignore[arg-type]
    assert all(0 < len(answer.token_ids) <= 4 for answer in answers)


@pytest.mark.parametrize("worth", [1, decoder.WORTH_SHARING, 10**9], ids=["always", "as it is", "never"])
def test_what_rows_start_with_is_looked_at_once_or_by_each(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks change how often a token is read and nothing of what rows find there."""
    model = made("llama")
    monkeypatch.setattr(generator, "Decoder", functools.partial(decoder.Decoder, worth_sharing=worth))
    blocks: list[int] = []
    original = seen.Group.seat
    monkeypatch.setattr(seen.Group, "seat", lambda self, chains: (blocks.append(len(chains)), original(self, chains)))
    found = list(over(model).rollouts(PROMPTS, 9, DRAWN))
    assert len(found) == 45 and bool(blocks) == (worth < 10**9)
    for each in found:
        ids = each.completion.token_ids
        assert each.completion.logprobs == pytest.approx(teacher_forced(model, PROMPTS[each.prompt], ids), abs=2e-5)


def counted(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Return a list that grows by (tokens, whether they are prompts) with each forward pass."""
    passes: list[tuple[int, bool]] = []
    original = model.forward

    def watched(*args: Any, **options: Any) -> Any:
        passes.append((options["input_ids"].shape[1], isinstance(options["decoding"], attending.Filling)))
        return original(*args, **options)

    monkeypatch.setattr(model, "forward", watched)
    return passes


@pytest.mark.parametrize("ahead", [0.0, 60.0, 300.0])
def test_the_sum_under_log_probabilities_is_exact_however_far_ahead_a_token_is(ahead: float) -> None:
    logits = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0)) * 3
    logits[:, 7] += ahead
    logits[1, 100:] = float("-inf")  # as a model leaves out tokens that it has no name for
    row_sums = logits.double().logsumexp(-1)
    torch.testing.assert_close(sampler._log_total(logits).double(), row_sums, rtol=3e-7, atol=2e-6)


def test_a_prompt_is_computed_once_for_all_its_samples_and_a_start_once_for_all_prompts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = made("llama")
    assert not support.refused(model)
    passes = counted(model, monkeypatch)
    assert len(list(over(model).rollouts(PROMPTS, 6, DRAWN))) == 30
    assert sum(tokens for tokens, prompts in passes if prompts) == len(START) + 3 + 20 + 11 + 1 + 4 - 0
    assert max(tokens for tokens, prompts in passes if not prompts) == 30


def test_waiting_rows_take_the_places_of_finished_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for few rows, none waits for the longest of its batch, and each says what it says in any other company."""
    model = made("llama")
    assert not support.refused(model)
    limits = [2, 14, 3, 14, 2, 9, 4, 14, 2, 5]
    stops = {number: limit for number, limit in enumerate(limits)}
    prompts = [[40 + number, 9, 8, 7] for number in range(len(limits))]
    whole = over(model).generate(prompts, DRAWN)
    few = over(model, max_batch_tokens=4 * 18)
    row = TransformersGenerator._row

    def short(self: Any, number: int, *others: Any) -> Any:
        found = row(self, number, *others)
        found.limit = stops[number]
        return found

    monkeypatch.setattr(TransformersGenerator, "_row", short)
    passes = counted(model, monkeypatch)
    found = few.generate(prompts, DRAWN)
    for number, (each, full) in enumerate(zip(found, whole, strict=True)):
        assert each.token_ids == full.token_ids[: limits[number]]
        assert each.logprobs == pytest.approx(full.logprobs[: limits[number]], abs=2e-5)
    steps = [tokens for tokens, prompts in passes if not prompts]
    # In batches of four, each as long as its longest row, it would be 39 steps.
    assert max(steps) >= 4 and len(steps) < 30, steps


def test_a_completion_is_given_before_all_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between them whoever waits gets the weights, and weights that changed meanwhile are noticed."""
    model = made("llama")
    small = over(model, max_batch_tokens=40)
    rollouts = small.rollouts(PROMPTS[4:], 12, DRAWN)
    first = next(rollouts)
    assert first.completion.token_ids and small.gate.holder is None
    with torch.no_grad():
        model.lm_head.weight.mul_(1.0)
    with pytest.raises(ModelError, match="changed between two completions"):
        list(rollouts)
    assert small.gate.holder is None


def test_a_model_that_computes_otherwise_takes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial looks at numbers: here rows that are decoded lose what they have seen in the prompt."""
    model = made("llama")
    monkeypatch.setattr(support, "_known", {})
    want = over(model).generate(PROMPTS, GREEDY)
    support._of_module.clear()
    support._known.clear()

    def forgetful(*args: Any) -> Any:
        found, size = attending_kernel(*args)
        return found * 0.5, size

    attending_kernel: Callable[..., Any] = attending._kernel
    monkeypatch.setattr(attending, "_kernel", forgetful)
    assert "answers otherwise" in support.refused(model)
    assert [each.token_ids for each in over(model).generate(PROMPTS, GREEDY)] == [each.token_ids for each in want]
    support._of_module.clear()


@pytest.mark.parametrize("worth", [1, 10**9], ids=["blocks", "own"])
def test_in_16_bits_log_probabilities_are_those_of_the_pass_over_the_whole(
    worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the rounding of the format: in nats 0.03 on average and 0.25 at most, of a random model with steep attention."""
    model = made("llama").to(torch.bfloat16)
    assert not support.refused(model)
    monkeypatch.setattr(generator, "Decoder", functools.partial(decoder.Decoder, worth_sharing=worth))
    off = [
        abs(mine - theirs)
        for each in over(model).rollouts(PROMPTS, 4, DRAWN)
        for mine, theirs in zip(
            each.completion.logprobs or [],
            teacher_forced(model, PROMPTS[each.prompt], each.completion.token_ids),
            strict=True,
        )
    ]
    assert math.fsum(off) / len(off) < 0.03 and max(off) < 0.25, (math.fsum(off) / len(off), max(off))
