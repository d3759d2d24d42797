"""Generation beside training: base weights, the state a model is given back in, and turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
from shadownb.engine.inference import Sampling
from shadownb.errors import BusyError, ConfigError

GREEDY = Sampling(temperature=0, max_new_tokens=16)
LUCKY = Sampling(temperature=1.5, top_k=200, top_p=1, max_new_tokens=12, seed=11)
LIMIT = 30.0
PROMPTS = [[1, 1093, 198], [1, *range(300, 345)], [1, 1093, 198, 683, 359, 260], [9, 8, 7, 6]]


@pytest.fixture(autouse=True)
def global_random_state() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


def test_base_is_the_model_without_its_adapter(tuned: TransformersGenerator, generator: TransformersGenerator) -> None:
    base = generator
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
    trained = next(p for p in tuned.model.parameters() if p.requires_grad)
    before = trained.detach().clone()
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
    # Half of the adapter's inputs drop out, so the loss of a few steps is noise; that the steps trained is not.
    assert not torch.equal(trained, before)
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
