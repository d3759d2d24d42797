"""Generation with transformers: sampling, batches, endings, and the state that a model is given back in."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from shadownb.engine.inference import Sampling, WeightsGate
from shadownb.engine.inference.sampler import ExactConfig, PrivateSampler, processors
from shadownb.engine.inference.transformers_generator import TransformersGenerator
from shadownb.errors import BusyError, ConfigError, ModelError, OutOfMemoryError

GREEDY = Sampling(temperature=0, max_new_tokens=16)
LUCKY = Sampling(temperature=1.5, top_k=200, top_p=1, max_new_tokens=12, seed=11)
LIMIT = 30.0
PROMPTS = [[1, 4093, 198], [1, *range(300, 345)], [1, 4093, 198, 2683, 359, 260], [9, 8, 7, 6]]


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def generator_for(model: Any, tokenizer: Any, **options: Any) -> TransformersGenerator:
    return TransformersGenerator(model, tokenizer, WeightsGate(), **{"stop_token_ids": [2], **options})


@pytest.fixture
def generator(tiny_model_dir: Path, smollm2_tokenizer: Any) -> TransformersGenerator:
    return generator_for(load(tiny_model_dir), smollm2_tokenizer)


@pytest.fixture
def tuned(tiny_model_dir: Path, smollm2_tokenizer: Any) -> TransformersGenerator:
    """A generator for a model with an adapter that changes its answers."""
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5, init_lora_weights=False)
    return generator_for(get_peft_model(load(tiny_model_dir), config), smollm2_tokenizer)


@pytest.fixture(autouse=True)
def global_random_state() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


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


def test_batches_stay_within_the_token_budget(generator: TransformersGenerator, monkeypatch: Any) -> None:
    shapes = []
    original = generator.model.generate

    def watched(**options: Any) -> Any:
        shapes.append(tuple(options["input_ids"].shape))
        return original(**options)

    monkeypatch.setattr(generator.model, "generate", watched)
    generator.max_batch_tokens = 100
    generator.generate([*PROMPTS, [5] * 200], GREEDY)
    assert [rows for rows, _ in shapes] == [1, 1, 3]
    assert all(rows == 1 or rows * (width + 16) <= 100 for rows, width in shapes)


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
    shares = torch.tensor([0.6, 0.3, 0.1, 0.0])
    rows = 6000
    scores = shares.log().expand(rows, -1)
    drawn = PrivateSampler(5, range(rows), torch.device("cpu"))(torch.zeros(rows, 1), scores).argmax(-1).tolist()
    counts = Counter(drawn)
    assert counts[3] == 0
    for token, share in enumerate((0.6, 0.3, 0.1)):
        # Five standard deviations of a binomial draw.
        assert abs(counts[token] / rows - share) < 5 * (share * (1 - share) / rows) ** 0.5


def test_every_sampling_option_counts(generator: TransformersGenerator) -> None:
    greedy = generator.generate(PROMPTS, GREEDY)
    narrow = Sampling(temperature=2, top_k=1, top_p=1, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, narrow)] == [c.text for c in greedy]
    tight = Sampling(temperature=2, top_p=1e-6, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, tight)] == [c.text for c in greedy]
    cold = Sampling(temperature=1e-4, top_p=1, max_new_tokens=16)
    assert [c.text for c in generator.generate(PROMPTS, cold)] == [c.text for c in greedy]
    penalised = Sampling(temperature=0, repetition_penalty=50, max_new_tokens=16)
    for completion in generator.generate(PROMPTS, penalised):
        assert len(set(completion.token_ids)) == len(completion.token_ids), "a token was repeated"
    assert processors(GREEDY, 0, [0], torch.device("cpu")) == []


def test_the_model_file_cannot_change_the_sampling(generator: TransformersGenerator) -> None:
    want = generator.generate(PROMPTS, GREEDY)
    config = generator.model.generation_config
    config.repetition_penalty, config.do_sample, config.top_k = 5.0, True, 3
    config.suppress_tokens = want[0].token_ids
    assert generator.generate(PROMPTS, GREEDY) == want


def test_a_stop_token_ends_its_row_only(generator: TransformersGenerator) -> None:
    free = generator.generate(PROMPTS, GREEDY)
    stop = free[0].token_ids[5]
    ended = generator_for(generator.model, generator.tokenizer, stop_token_ids=[stop]).generate(PROMPTS, GREEDY)
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


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_is_the_batch_answer_in_whole_characters(generator: TransformersGenerator, seed: int) -> None:
    sampling = Sampling(temperature=1.5, top_p=1, max_new_tokens=40, seed=seed)
    (want,) = generator.generate(PROMPTS[:1], sampling)
    stream = generator.stream(PROMPTS[0], sampling)
    pieces = list(stream)
    assert "".join(pieces) == want.text
    assert stream.completion == want
    assert len(pieces) > 5
    with pytest.raises(StopIteration) as ended:
        next(stream)
    assert ended.value.value == want


def test_yield_from_a_stream_returns_the_completion(generator: TransformersGenerator) -> None:
    found: list[Any] = []

    def reader() -> Iterator[str]:
        found.append((yield from generator.stream(PROMPTS[0], GREEDY)))

    text = "".join(reader())
    assert found[0].text == text
    assert found[0].finish_reason == "length"


def test_closing_a_stream_stops_it_and_frees_the_weights(generator: TransformersGenerator) -> None:
    with generator.stream(PROMPTS[0], Sampling(temperature=1, max_new_tokens=500, seed=1)) as stream:
        first = next(stream)
    assert stream.completion is not None
    assert stream.completion.finish_reason == "cancelled"
    assert stream.completion.text.startswith(first)
    assert stream.completion.completion_tokens < 500
    assert generator.gate.holder is None
    assert list(stream) == []
    stream.close()


def test_a_dropped_stream_stops(generator: TransformersGenerator) -> None:
    stream = generator.stream(PROMPTS[0], Sampling(temperature=1, max_new_tokens=500, seed=1))
    next(stream)
    worker, pieces = stream._worker, stream._pieces
    del stream
    worker.join(LIMIT)
    assert not worker.is_alive()
    while (last := pieces.get(timeout=LIMIT))[0] == "piece":
        pass
    assert last[1].finish_reason == "cancelled"
    assert generator.gate.holder is None


def test_a_stream_that_waits_for_training_can_be_closed(generator: TransformersGenerator) -> None:
    held, over = threading.Event(), threading.Event()

    def train() -> None:
        with generator.gate.training():
            held.set()
            over.wait(LIMIT)

    trainer = threading.Thread(target=train)
    trainer.start()
    held.wait(LIMIT)
    stream = generator.stream(PROMPTS[0], GREEDY)
    stream.close()
    assert stream.completion is not None
    assert (stream.completion.finish_reason, stream.completion.text) == ("cancelled", "")
    cancelled = generator.generate(PROMPTS, GREEDY, should_stop=lambda: True)
    assert [c.finish_reason for c in cancelled] == ["cancelled"] * len(PROMPTS)
    over.set()
    trainer.join(LIMIT)


def test_the_training_thread_can_stream_inside_its_step(generator: TransformersGenerator) -> None:
    want = generator.generate(PROMPTS[:1], GREEDY)[0]
    seen: list[Any] = []

    def train() -> None:
        with generator.gate.training():
            seen.append("".join(generator.stream(PROMPTS[0], GREEDY)))
            stream = generator.stream(PROMPTS[0], GREEDY)
            seen.extend(generator.generate(PROMPTS[:1], GREEDY))
            seen.append("".join(stream))

    trainer = threading.Thread(target=train, daemon=True)
    trainer.start()
    trainer.join(LIMIT)
    assert seen == [want.text, want, want.text]
    assert generator.gate.holder is None


def test_should_stop_is_looked_at_after_every_token(generator: TransformersGenerator) -> None:
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        return looks > 6

    completions = generator.generate(PROMPTS, Sampling(temperature=0, max_new_tokens=200), should_stop=stop)
    assert [c.finish_reason for c in completions] == ["cancelled"] * len(PROMPTS)
    assert {c.completion_tokens for c in completions} <= set(range(1, 8))


def test_an_error_in_the_model_reaches_the_reader(generator: TransformersGenerator, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("inside the model")

    monkeypatch.setattr(generator.model.model, "forward", broken)
    with pytest.raises(ZeroDivisionError, match="inside the model"):
        list(generator.stream(PROMPTS[0], GREEDY))
    with pytest.raises(ZeroDivisionError):
        generator.generate(PROMPTS, GREEDY)
    assert generator.gate.holder is None


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

    def watched(*args: Any, **options: Any) -> Any:
        nonlocal longest
        longest = max(longest, int(options["position_ids"].max()))
        return original(*args, **options)

    monkeypatch.setattr(generator.model, "forward", watched)
    near, far = generator.generate([[5] * 505, [6] * 400], GREEDY)
    assert longest < 512, "a row that had ended ran past the last position"
    assert (near.completion_tokens, near.finish_reason) == (7, "length")
    assert far.completion_tokens == 16


def test_base_is_the_model_without_its_adapter(
    tuned: TransformersGenerator, tiny_model_dir: Path, smollm2_tokenizer: Any
) -> None:
    base = generator_for(load(tiny_model_dir), smollm2_tokenizer)
    want = base.generate(PROMPTS, GREEDY)
    assert tuned.generate(PROMPTS, GREEDY, use="base") == want
    assert tuned.generate(PROMPTS, GREEDY) != want
    assert base.generate(PROMPTS, GREEDY, use="base") == want
    assert "".join(tuned.stream(PROMPTS[0], GREEDY, use="base")) == want[0].text
    with pytest.raises(ConfigError, match="use='other'"):
        tuned.generate(PROMPTS, GREEDY, use="other")  # type: ignore[arg-type]


@pytest.mark.parametrize("failing", [False, True], ids=["done", "failed"])
def test_training_state_is_given_back(tuned: TransformersGenerator, monkeypatch: Any, failing: bool) -> None:
    model = tuned.model
    model.gradient_checkpointing_enable()
    model.train()
    model.base_model.model.model.layers[0].eval()
    frozen = next(p for n, p in model.named_parameters() if "lora_A" in n)
    frozen.requires_grad_(False)
    model.config.use_cache = False

    def state() -> Any:
        return (
            [(n, m.training, getattr(m, "gradient_checkpointing", None)) for n, m in model.named_modules()],
            [(n, p.requires_grad) for n, p in model.named_parameters()],
            model.config.use_cache,
            model.get_model_status().enabled,
        )

    before = state()
    if failing:

        def broken(*args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(model.base_model.model.lm_head, "forward", broken)
        with pytest.raises(ZeroDivisionError):
            tuned.generate(PROMPTS, GREEDY, use="base")
    else:
        tuned.generate(PROMPTS[:1], LUCKY, use="base")
        tuned.generate(PROMPTS[:1], LUCKY, use="tuned")
    assert state() == before


def test_generating_between_two_halves_of_a_step_leaves_its_gradients(tuned: TransformersGenerator) -> None:
    def step(generate: bool) -> list[torch.Tensor]:
        torch.manual_seed(3)
        tuned.model.train()
        tuned.model.zero_grad()
        for prompt in PROMPTS[:2]:
            ids = torch.tensor([prompt])
            tuned.model(input_ids=ids, labels=ids).loss.backward()
            if generate:
                tuned.generate(PROMPTS[:1], LUCKY, use="base")
                tuned.generate(PROMPTS[:1], LUCKY)
        return [p.grad.clone() for p in tuned.model.parameters() if p.grad is not None]

    plain, interrupted = step(False), step(True)
    assert len(plain) == len(interrupted) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, interrupted, strict=True))


def test_chat_during_training_gets_its_turn(tuned: TransformersGenerator) -> None:
    over = threading.Event()
    steps: list[float] = []
    optimizer = torch.optim.SGD([p for p in tuned.model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.tensor([PROMPTS[1]])
    failure: list[BaseException] = []

    def train() -> None:
        try:
            while not over.is_set():
                with tuned.gate.training():
                    tuned.model.train()
                    loss = tuned.model(input_ids=ids, labels=ids).loss
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    steps.append(loss.item())
        except BaseException as error:
            failure.append(error)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        texts = {"".join(tuned.stream(PROMPTS[0], GREEDY, use="base")) for _ in range(3)}
        texts |= {tuned.generate(PROMPTS[:1], GREEDY, use="base")[0].text for _ in range(3)}
    finally:
        over.set()
        trainer.join(LIMIT)
    assert not failure
    assert len(texts) == 1, "training changed the base's answers"
    assert len(steps) > 5
    assert steps[-1] < steps[0]
    assert tuned.gate.yielded_seconds > 0


def test_a_busy_gate_is_not_entered(generator: TransformersGenerator) -> None:
    inside = threading.Event()
    go = threading.Event()

    def stop() -> bool:
        inside.set()
        go.wait(LIMIT)
        return False

    other = threading.Thread(target=lambda: generator.generate(PROMPTS, GREEDY, should_stop=stop))
    other.start()
    inside.wait(LIMIT)
    with pytest.raises(BusyError), generator.gate.inference(timeout=0.01):
        pytest.fail("two calls used the weights at once")
    go.set()
    other.join(LIMIT)
