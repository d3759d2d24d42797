"""Policy gradients go over the ports alone: the bigram model in numpy learns by its own answers as the torch one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import registry
from tests.engine.methods_data import stop_after
from tests.ports import toy_backend

ROWS = [{"prompt": f"Number {n}?", "number": n} for n in range(6)]
OPTIONS: dict[str, Any] = {
    "method": "grpo", "num_generations": 6, "max_completion_length": 8, "max_steps": 12, "save_steps": 4,
    "sample_max_new_tokens": 0,
    "per_device_train_batch_size": 3, "lr_scheduler_type": "constant", "save_total_limit": 9, "num_iterations": 2, "beta": 0.01,
}  # fmt: skip


def even(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    return [sum(ord(letter) % 2 == 0 for letter in said) / max(1, len(said)) for said in completions]


@pytest.fixture
def load(home: Path, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    registry.register("backend", "toy", "tests.ports.toy_backend:ToyBackend")
    folder = toy_backend.write_base(tmp_path / "bigram")
    yield lambda: snb.load(str(folder), backend="toy", max_length=256)
    registry.unregister("backend", "toy")


@pytest.mark.parametrize("method", ["grpo", "rloo", "reinforce_pp"])
def test_a_bigram_model_learns_what_scores(load: Callable[[], Any], method: str) -> None:
    options = {
        **OPTIONS,
        "method": method,
        "learning_rate": 2e-2,
        "temperature": 0.9,
        "num_iterations": 1,
        "max_steps": 30,
    }
    run = load().train(ROWS, background=False, reward_fns=[even], **options)
    rewards = [metrics["reward"] for metrics in run.metrics]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.15, rewards
    assert all(metrics["ratio"] == pytest.approx(1.0, abs=1e-6) for metrics in run.metrics)


def test_it_resumes_exactly_between_two_steps_of_a_batch(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = load().train(ROWS, background=False, reward_fns=[even], **OPTIONS)
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        run = load().train(ROWS, background=True, reward_fns=[even], **OPTIONS).wait(timeout=60)
    assert (run.status, run.step) == ("stopped", 5), run.error
    run.resume().wait(timeout=60)
    assert run.losses() == straight.losses()
    assert run.completions() == straight.completions()
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]
