"""Streams: whole characters, the same answer as a batch, and an end at any time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
from shadownb.engine.inference import Sampling

GREEDY = Sampling(temperature=0, max_new_tokens=16)
LIMIT = 30.0
PROMPTS = [[1, 1093, 198], [1, *range(300, 345)], [1, 1093, 198, 683, 359, 260], [9, 8, 7, 6]]


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


def test_should_stop_is_looked_at_after_every_token(generator: TransformersGenerator) -> None:
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        return looks > 6

    completions = generator.generate(PROMPTS, Sampling(temperature=0, max_new_tokens=200), should_stop=stop)
    assert [c.finish_reason for c in completions] == ["cancelled"] * len(PROMPTS)
    assert {c.completion_tokens for c in completions} <= set(range(1, 8))
    stream = generator.stream(PROMPTS[0], GREEDY, should_stop=lambda: True)  # before the first one, too
    list(stream)
    assert stream.completion is not None and stream.completion.finish_reason == "cancelled"


def test_an_error_in_the_model_reaches_the_reader(generator: TransformersGenerator, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("inside the model")

    monkeypatch.setattr(generator.model.model, "forward", broken)
    with pytest.raises(ZeroDivisionError, match="inside the model"):
        list(generator.stream(PROMPTS[0], GREEDY))
    with pytest.raises(ZeroDivisionError):
        generator.generate(PROMPTS, GREEDY)
    assert generator.gate.holder is None
