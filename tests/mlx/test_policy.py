"""Policy gradients on MLX: the answers, losses and gradients of torch, and the same tokens after a kill inside a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.errors import MethodError
from tests.engine.methods_data import curve, stop_after
from tests.policy import killed
from tests.policy.conftest import OPTIONS, ROWS
from tests.policy.scorers import vowels

# Every option of the loss that takes another way through a backend: whole answers or tokens, at another temperature, towards a
# reference in the loss or in the reward, against weights of before.
VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {"beta": 0.1, "temperature": 0.7, "num_iterations": 2, "max_steps": 4},
    "grpo sequence": {"importance_sampling_level": "sequence", "loss_type": "dapo", "num_iterations": 2, "max_steps": 4},
    "rloo": {"method": "rloo", "beta": 0.1},
    "ppo": {"method": "ppo", "num_ppo_epochs": 2, "critic_warmup": 1, "temperature": 0.7, "max_steps": 6},
    "reinforce_pp": {"method": "reinforce_pp", "beta": 0.1, "top_p": 0.9},
}  # fmt: skip
SAME = (
    "reward",
    "entropy",
    "completion_length",
    "kl",
    "ratio",
    "clip_ratio",
    "value_loss",
    "explained_variance",
    "value",
)


@pytest.fixture
def train(byte_model_dir: Path) -> Callable[..., Run]:
    def made(backend: str = "mlx", **options: Any) -> Run:
        model = snb.load(str(byte_model_dir), backend=backend, max_length=256, dtype="float32")
        run: Run = model.train(ROWS, background=True, **{**OPTIONS, "reward_fns": [vowels], **options})
        return run.wait(timeout=120)

    return made


@pytest.mark.parametrize("variant", VARIANTS)
def test_answers_losses_and_gradients_are_torchs(train: Callable[..., Run], variant: str) -> None:
    theirs, mine = (train(backend, **VARIANTS[variant]) for backend in ("torch", "mlx"))
    assert mine.status == theirs.status == "succeeded", mine.error or theirs.error
    answers = [
        [(c["completion"], c["tokens"]) for g in run.completions() for c in g["completions"]] for run in (theirs, mine)
    ]
    assert answers[0] == answers[1], "one seed, the same tokens"
    for one, other in zip(mine.metrics, theirs.metrics, strict=True):
        # PPO's loss is a difference of two parts of about its size, and its ratios are to tokens of several steps before.
        close = {"rel": 1e-3, "abs": 5e-5} if variant == "ppo" else {"rel": 1e-4, "abs": 1e-5}
        assert one["loss"] == pytest.approx(other["loss"], **close)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3, abs=1e-6)
        both = [name for name in SAME if name in other]
        assert both == [name for name in SAME if name in one]
        # A share of variance that is next to nothing is a difference of two numbers of its size.
        near = 1e-3 if variant == "ppo" else 1e-4
        assert {name: one[name] for name in both} == pytest.approx(
            {name: other[name] for name in both}, rel=1e-3, abs=near
        )
    assert any(norm > 0 for _, norm in curve(mine))


def test_a_resume_between_two_steps_of_one_batch_is_exact(
    train: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(**VARIANTS["grpo"])
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = train(**VARIANTS["grpo"])
    assert (run.status, run.step) == ("stopped", 3), run.error
    snb.runs.load(run.id).resume().wait(timeout=120)
    killed.same_result(snb.runs.load(run.id), straight)


def test_killed_inside_a_batch_it_goes_on_with_the_same_tokens(
    train: Callable[..., Run], byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed.goes_on(byte_model_dir, "mlx", train(**killed.EIGHT), monkeypatch)


def test_any_adapter_of_the_backend_is_trained_by_it(byte_model_dir: Path) -> None:
    spec = snb.methods.get("full")
    own = {"name": "grpo-full", "objective": "grpo", "data_formats": ("prompt",), "defaults": ()}
    snb.methods.register(spec.replace(**own))
    try:
        model = snb.load(str(byte_model_dir), backend="mlx", max_length=256, dtype="float32")
        options = {**OPTIONS, "method": "grpo-full", "beta": 0.05, "reward_fns": [vowels], "learning_rate": 1e-3}
        del options["lora_r"]
        run = model.train(ROWS, background=False, **options)
        assert run.metrics[0]["kl"] == pytest.approx(0.0, abs=1e-7) and run.metrics[-1]["kl"] > 0
    finally:
        snb.methods.unregister("grpo-full")
    with pytest.raises(MethodError, match="prompt"):
        model.train(ROWS, background=False, method="prompt")
