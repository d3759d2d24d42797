"""The log-probability of each generated token: those of the training passes, whatever the sampling, padding or adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import shadownb as snb
from shadownb.engine.backends.torch.attention import Packing, batch_layout, target_logits
from shadownb.engine.backends.torch.generation.borrowing import borrowed
from shadownb.engine.backends.torch.packed_batch import pack
from shadownb.engine.inference import Completion, Sampling
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import ConfigError

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Thing {n}?"},
            {"role": "assistant", "content": "red" if n % 3 else "blue"},
        ]
    }
    for n in range(12)
]
ASKED = [
    [{"role": "user", "content": text}] for text in ("Thing 3?", "Which colour has thing number 4, if you please?", "5")
]
FAST: dict[str, Any] = {"max_steps": 12, "per_device_train_batch_size": 4, "learning_rate": 2e-2, "background": False}
WAYS = {
    "greedy": Sampling(temperature=0.0, max_new_tokens=12, logprobs=True),
    "as it is": Sampling(temperature=1.0, top_p=1.0, seed=3, max_new_tokens=12, logprobs=True),
    "changed": Sampling(
        temperature=1.6, top_p=0.9, top_k=40, repetition_penalty=1.5, seed=3, max_new_tokens=12, logprobs=True
    ),
}


@pytest.fixture(scope="module", params=["lora", "prompt"])
def model(
    request: pytest.FixtureRequest, byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A model with an adapter, or with a learned prompt, that answers otherwise than its base."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        made = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
        made.train(ROWS, method=request.param, **FAST)
        yield made


def asked(model: Any) -> list[list[int]]:
    return [model.renderer.render_prompt(conversation) for conversation in ASKED]


def teacher_forced(model: Any, prompt: list[int], ids: list[int], use: str) -> list[float]:
    """Return the log-probabilities of ``ids`` behind ``prompt`` as a training pass computes them, the row alone."""
    row = Rendered([*prompt, *ids], [*[NOT_TRAINED] * len(prompt), *ids])
    view, adapter = model.weights.view(use), model.weights.adapter_of(use)
    single = Packing("single", "one row")
    with model.gate.inference(), borrowed(view.model, use, view.switched_off), torch.no_grad():  # type: ignore[arg-type]
        piece = pack([row], share=False)
        called, computed, inputs = view.model, piece, {"input_ids": piece.input_ids}
        if adapter is not None:
            called, computed, inputs = adapter.feed(adapter.module, piece)
        with batch_layout(model.weights.base_module(), computed, single) as layout:
            logits = target_logits(called, computed, inputs, layout)
        found: list[float] = (-cross_entropy(logits, computed.targets, reduction="none")).tolist()
    return found


@pytest.mark.parametrize("use", ["tuned", "base"])
@pytest.mark.parametrize("way", list(WAYS))
def test_they_are_those_of_the_training_passes(model: Any, use: str, way: str) -> None:
    """Prompts of three lengths stand in one batch, so that two of them are padded."""
    prompts = asked(model)
    answers = model.generator.generate(prompts, WAYS[way], use=use)
    assert len({len(prompt) for prompt in prompts}) == 3
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.logprobs == pytest.approx(teacher_forced(model, prompt, answer.token_ids, use), abs=1e-4)


def test_asking_for_them_changes_no_answer(model: Any) -> None:
    options = {"temperature": 1.3, "top_k": 50, "repetition_penalty": 1.2, "seed": 8, "max_new_tokens": 12}
    plain, told = (model.chat(ASKED, logprobs=logprobs, **options) for logprobs in (False, True))
    assert [reply.token_ids for reply in plain] == [reply.token_ids for reply in told]
    assert all(reply.logprobs is None for reply in plain)
    assert all(len(reply.logprobs) == reply.usage["completion_tokens"] == len(reply.token_ids) for reply in told)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.2, "seed": 4}], ids=["greedy", "drawn"])
def test_alone_in_a_batch_and_streamed_they_agree(model: Any, options: dict[str, Any]) -> None:
    options = {**options, "max_new_tokens": 10, "logprobs": True}
    together = model.chat(ASKED, **options)[0]
    alone = model.chat(ASKED[0], **options)
    stream = model.stream(ASKED[0], **options)
    assert "".join(stream) == alone.content
    assert together.token_ids == alone.token_ids == stream.reply.token_ids
    assert stream.reply.logprobs == alone.logprobs
    assert together.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_a_stop_token_and_a_cancelled_answer_have_theirs(model: Any) -> None:
    generator = model.generator
    (free,) = generator.generate(asked(model)[:1], WAYS["greedy"])
    generator.stop_token_ids = frozenset({free.token_ids[2]})
    (ended,) = generator.generate(asked(model)[:1], WAYS["greedy"])
    assert ended.finish_reason == "stop" and ended.token_ids[-1] in generator.stop_token_ids
    assert ended.logprobs == free.logprobs[: len(ended.token_ids)]
    counted = iter(range(100))
    (cut,) = model.generator.generate(asked(model)[:1], WAYS["as it is"], should_stop=lambda: next(counted) > 3)
    assert cut.finish_reason == "cancelled" and 0 < len(cut.token_ids) == len(cut.logprobs)
    (none,) = model.generator.generate(asked(model)[:1], WAYS["as it is"], should_stop=lambda: True)
    assert (none.token_ids, none.logprobs) == ([], [])


def test_a_likelier_answer_says_so(model: Any) -> None:
    known, base = (
        model.chat(ASKED[0], use=use, temperature=0.0, max_new_tokens=3, logprobs=True) for use in ("tuned", "base")
    )
    assert all(value <= 0 for value in [*known.logprobs, *base.logprobs])
    assert known.token_ids != base.token_ids


def test_a_switch_that_is_no_switch_is_refused() -> None:
    with pytest.raises(ConfigError, match="logprobs=5"):
        Sampling(logprobs=5)  # type: ignore[arg-type]


def test_a_completion_without_any_says_none() -> None:
    assert Completion("a", [1], "stop", 1, 1).logprobs is None
