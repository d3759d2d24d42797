"""Generation with transformers: sampling, batches, endings and limits."""

from __future__ import annotations

import dataclasses
import functools
import threading
import types
from collections import Counter
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
from shadownb.engine.backends.torch.generation.sampler import ExactConfig, Sampler, at_share
from shadownb.engine.inference import Sampling
from shadownb.engine.inference.draws import row_draws
from shadownb.errors import ModelError, OutOfMemoryError

GREEDY = Sampling(temperature=0, max_new_tokens=16)
LUCKY = Sampling(temperature=1.5, top_k=200, top_p=1, max_new_tokens=12, seed=11)
LIMIT = 30.0
PROMPTS = [[1, 1093, 198], [1, *range(300, 345)], [1, 1093, 198, 683, 359, 260], [9, 8, 7, 6]]


def test_greedy_is_what_the_library_generates(generator: TransformersGenerator) -> None:
    ids = torch.tensor([PROMPTS[1]])
    want = generator.model.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=ExactConfig(max_new_tokens=16, pad_token_id=2)
    )[0, ids.shape[1] :].tolist()
    (got,) = generator.generate([PROMPTS[1]], GREEDY)
    assert got.token_ids == want
    assert got.text == generator.tokenizer.decode(want, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert (got.prompt_tokens, got.completion_tokens) == (len(PROMPTS[1]), len(want))


@pytest.mark.parametrize("sampling", [GREEDY, LUCKY], ids=["greedy", "sampled"])
def test_a_batch_gives_each_row_what_it_gets_elsewhere(generator: TransformersGenerator, sampling: Sampling) -> None:
    together = generator.generate(PROMPTS, sampling)
    generator.max_batch_tokens = 60
    assert generator.generate(PROMPTS, sampling) == together
    assert generator.generate(PROMPTS[:1], sampling)[0] == together[0]
    assert generator.generate(PROMPTS[:3], sampling) == together[:3]
    assert generator.generate([], sampling) == []


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "the library's"])
def test_batches_stay_within_the_token_budget(generator: TransformersGenerator, monkeypatch: Any, ours: bool) -> None:
    if not ours:
        monkeypatch.setattr("shadownb.engine.backends.torch.generation.generator.refused", lambda model: "for the test")
    prompts, most = [*PROMPTS, [5] * 200], 100
    whole = generator.generate(prompts, GREEDY)
    generator.max_batch_tokens = most
    shapes: list[tuple[int, int]] = []
    original = generator.model.forward

    @functools.wraps(original)  # the library looks at the signature
    def watched(*args: Any, **options: Any) -> Any:
        ids, places = options["input_ids"], options["position_ids"]
        decoded = ids.shape[1] if places.shape[0] == 1 and ours else ids.shape[0]
        if int(places.min()) > 0:  # a token of each row, and no prompt
            shapes.append((decoded, int(places.max()) + 1))
        return original(*args, **options)

    monkeypatch.setattr(generator.model, "forward", watched)
    assert generator.generate(prompts, GREEDY) == whole
    assert max(rows for rows, _ in shapes) > 1
    assert all(rows == 1 or rows * width <= most for rows, width in shapes)


def test_a_seed_gives_the_same_answer_everywhere_and_leaves_the_global_state(generator: TransformersGenerator) -> None:
    state = torch.get_rng_state()
    first = generator.generate(PROMPTS, LUCKY)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    elsewhere: list[Any] = []
    thread = threading.Thread(target=lambda: elsewhere.extend(generator.generate(PROMPTS, LUCKY)))
    thread.start()
    thread.join(LIMIT)
    assert elsewhere == first
    assert generator.generate(PROMPTS, dataclasses.replace(LUCKY, seed=12)) != first
    twins = generator.generate([PROMPTS[0]] * 2, LUCKY)
    assert twins[0].text != twins[1].text, "rows with the same prompt share their luck"


def test_without_a_seed_answers_differ(generator: TransformersGenerator) -> None:
    sampling = Sampling(temperature=1.5, max_new_tokens=16)
    torch.manual_seed(0)
    first = generator.generate(PROMPTS[:1], sampling)
    torch.manual_seed(0)
    assert generator.generate(PROMPTS[:1], sampling) != first


def test_the_sampler_draws_from_the_softmax() -> None:
    """Each token where the numbers from 0 to 1 fall into its share, however large the vocabulary; none without a share."""
    for size in (5, 256, 700):
        shares = torch.zeros(size)
        shares[[0, 1, size // 2, size - 2]] = torch.tensor([0.1, 0.6, 0.05, 0.25]) * 3  # need not sum to one
        luck = torch.linspace(0, 1, 2001, dtype=torch.float64)[:-1]
        counts = Counter(at_share(shares.expand(2000, -1), luck).tolist())
        want = Counter({0: 200, 1: 1200})
        want[size // 2] += 100
        want[size - 2] += 500
        assert counts.keys() == want.keys() and all(abs(counts[token] - want[token]) <= 2 for token in want)
    edges = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert at_share(torch.tensor([[0.0, 0.1, 0.8, 0.1, 0.0]] * 2), edges).tolist() == [1, 3]


def test_top_p_and_top_k_keep_what_the_library_keeps(generator: TransformersGenerator) -> None:
    """Distributions so flat that top_p needs most of the vocabulary, and so steep that one token is enough."""
    size, count = 700, 3000
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(1)) * 3
    for temperature, top_k, top_p in ((1.0, 0, 0.9), (30.0, 0, 0.95), (20.0, 0, 0.02), (0.01, 0, 0.5), (1.5, 40, 0.6)):
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, max_new_tokens=1)
        chain = LogitsProcessorList([TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)])
        if top_k:
            chain.insert(1, TopKLogitsWarper(top_k))
        kept = chain(torch.zeros(1, 1, dtype=torch.long), logits.clone()).softmax(-1)[0]
        rows = [types.SimpleNamespace(draws=row_draws(3, number), matcher=None) for number in range(count)]
        tokens, _ = Sampler(sampling).take(rows, logits.expand(count, -1))  # type: ignore[arg-type]
        drawn = torch.tensor(tokens).bincount(minlength=size)
        assert not drawn[kept == 0].any(), (temperature, top_k, top_p)
        # Five standard deviations of a binomial draw, and as many tokens where few are expected.
        assert ((drawn - count * kept).abs() <= 5 * (count * kept).sqrt() + 5).all(), (temperature, top_k, top_p)


def test_every_sampling_option_counts(generator: TransformersGenerator) -> None:
    greedy = generator.generate(PROMPTS, GREEDY)
    narrow = Sampling(temperature=2, top_k=1, top_p=1, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, narrow)] == [c.text for c in greedy]
    tight = Sampling(temperature=2, top_p=1e-6, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, tight)] == [c.text for c in greedy]
    # The two best tokens of a random model lie as close as 1e-4: only far below that the draw cannot pick the second.
    cold = Sampling(temperature=1e-8, top_p=1, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, cold)] == [c.text for c in greedy]
    penalised = Sampling(temperature=0, repetition_penalty=50, max_new_tokens=16)
    for completion in generator.generate(PROMPTS, penalised):
        assert len(set(completion.token_ids)) == len(completion.token_ids), "a token was repeated"


def test_the_model_file_cannot_change_the_sampling(generator: TransformersGenerator) -> None:
    want = generator.generate(PROMPTS, GREEDY)
    config = generator.model.generation_config
    config.repetition_penalty, config.do_sample, config.top_k = 5.0, True, 3
    config.suppress_tokens = want[0].token_ids
    assert generator.generate(PROMPTS, GREEDY) == want


def test_a_stop_token_ends_its_row_only(generator: TransformersGenerator, generator_for: Any) -> None:
    free = generator.generate(PROMPTS, GREEDY)
    stop = free[0].token_ids[5]
    ended = generator_for(generator.model, stop_token_ids=[stop]).generate(PROMPTS, GREEDY)
    for before, after in zip(free, ended, strict=True):
        if stop in before.token_ids:
            cut = before.token_ids.index(stop)
            assert after.token_ids == before.token_ids[: cut + 1]
            assert after.finish_reason == "stop"
            assert after.text == generator.tokenizer.decode(before.token_ids[:cut], skip_special_tokens=True)
        else:
            assert after == before
            assert after.finish_reason == "length"
    assert any(c.finish_reason == "length" for c in ended)


def test_a_stop_string_cuts_the_text_and_ends_the_row(generator: TransformersGenerator) -> None:
    free = generator.generate(PROMPTS, GREEDY)
    text = free[0].text
    middle = text[len(text) // 2 : len(text) // 2 + 7]
    sampling = Sampling(temperature=0, max_new_tokens=16, stop=(middle,))
    ended = generator.generate(PROMPTS, sampling)
    assert ended[0].text == text[: text.index(middle)]
    assert ended[0].finish_reason == "stop"
    assert ended[0].completion_tokens < free[0].completion_tokens
    assert [c.text for c in ended[1:]] == [c.text for c in free[1:]]
    stream = generator.stream(PROMPTS[0], sampling)
    assert "".join(stream) == ended[0].text
    assert stream.completion == ended[0]


def test_running_out_of_memory_is_a_typed_error(generator: TransformersGenerator, monkeypatch: Any) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(generator.model.model, "forward", full)
    with pytest.raises(OutOfMemoryError, match="ran out of memory on cpu"):
        generator.generate(PROMPTS, GREEDY)


def test_a_prompt_beyond_the_model_is_refused_and_answers_end_at_its_last_position(
    generator: TransformersGenerator, monkeypatch: Any
) -> None:
    with pytest.raises(ModelError, match="Prompt 1 has 512 tokens"):
        generator.generate([[5], [5] * 512], GREEDY)
    with pytest.raises(ModelError, match="Prompt 0 has no tokens"):
        generator.stream([], GREEDY)
    assert generator.gate.holder is None
    longest = 0
    original = generator.model.forward

    @functools.wraps(original)  # the library looks at the signature
    def watched(*args: Any, **options: Any) -> Any:
        nonlocal longest
        longest = max(longest, int(options["position_ids"].max()))
        return original(*args, **options)

    monkeypatch.setattr(generator.model, "forward", watched)
    near, far = generator.generate([[5] * 505, [6] * 400], GREEDY)
    assert longest < 512, "a row that had ended ran past the last position"
    assert (near.completion_tokens, near.finish_reason) == (7, "length")
    assert far.completion_tokens == 16
