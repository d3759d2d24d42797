"""The loss shapes that come next go over the ports as they are, on torch and on numpy, and equal plain formulas."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb import methods
from shadownb.engine import objectives, registry
from shadownb.engine.data import Dataset
from shadownb.errors import DataError
from tests import mlx
from tests.engine.methods_data import stop_after
from tests.ports import next_objectives, toy_backend

PROMPTS = [{"messages": [{"role": "user", "content": f"Number {n // 3}?"}, {"role": "assistant", "content": said}]}
           for n, said in enumerate(("odd", "even", "no idea", "even", "odd, I think", "two"))]  # fmt: skip
OPTIONS: dict[str, Any] = {
    "max_steps": 3, "save_steps": 1, "save_total_limit": 9, "per_device_train_batch_size": 6, "sample_max_new_tokens": 0,
    "gradient_accumulation_steps": 1, "learning_rate": 1e-2, "lr_scheduler_type": "constant", "background": False,
}  # fmt: skip
Seen = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]  # of each row: log-probabilities (N, V), targets, values


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    registry.register("backend", "toy", "tests.ports.toy_backend:ToyBackend")
    for name, kind in next_objectives.ALL.items():
        registry.register("objective", f"next_{name}", f"tests.ports.next_objectives:{kind.__name__}")
        methods.register(methods.get("lora").replace(name=f"next_{name}", objective=f"next_{name}"))
    yield
    for name in next_objectives.ALL:
        methods.unregister(f"next_{name}")
        registry.unregister("objective", f"next_{name}")
    registry.unregister("backend", "toy")


@pytest.fixture(params=["torch", "mlx", "toy"])
def load(request: pytest.FixtureRequest, home: Path, byte_model_dir: Path, tmp_path: Path) -> Callable[..., Any]:
    if request.param == "mlx":
        mlx.needed()
    folder = toy_backend.write_base(tmp_path / "bigram") if request.param == "toy" else byte_model_dir
    return lambda **more: snb.load(str(folder), backend=request.param, dtype="float32", max_length=256, **more)


def plain(model: Any, rows: list[Any], training: Path | None = None, table: torch.Tensor | None = None) -> Seen:
    """What a model says of rows, one by one and without anything of ours; of the bigram perhaps with another table."""
    head = None
    if training is not None:
        file = next(file for file in ("head.safetensors", "momentum.safetensors") if (training / file).is_file())
        head = load_file(training / file)
    found = []
    for row in rows:
        ids = torch.tensor(row.input_ids)
        at = [place for place in range(len(row.labels) - 1) if row.labels[place + 1] >= 0]
        if model.backend_name == "toy":
            logits = (torch.tensor(model.weights.table()) if table is None else table)[row.input_ids]
            values = torch.zeros(len(ids)) if head is None or "head" not in head else head["head"][ids]
        elif model.backend_name == "mlx":
            logits, hidden = mlx_pass(model, row.input_ids)
            values = torch.zeros(len(ids)) if head is None else (hidden @ head["weight"].T + head["bias"])[:, 0]
        else:
            with torch.no_grad():
                out = model.module.eval()(input_ids=ids[None], output_hidden_states=True)
            logits = out.logits[0]
            hidden = out.hidden_states[-1][0]
            values = torch.zeros(len(ids)) if head is None else (hidden @ head["weight"].T + head["bias"])[:, 0]
        found.append((torch.log_softmax(logits.double(), -1)[at], ids[[p + 1 for p in at]], values.double()[at]))
    return found


def mlx_pass(model: Any, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and hidden states of a row by mlx-lm's own model, as torch's tensors."""
    import mlx.core as mx

    from shadownb.engine.backends.mlx import worker

    def computed() -> tuple[Any, Any]:
        row = mx.array([ids])
        return model.module(row)[0].tolist(), model.module.model(row)[0].tolist()

    logits, hidden = worker.run(computed)
    return torch.tensor(logits), torch.tensor(hidden)


def logp(seen: Seen) -> list[torch.Tensor]:
    return [logs.gather(1, targets[:, None])[:, 0] for logs, targets, _ in seen]


def grpo(now: Seen, start: Seen, rows: list[dict[str, Any]]) -> torch.Tensor:
    rewards = torch.tensor([row["reward"] for row in rows]).double().view(2, 3)
    spread = rewards.std(1, correction=1, keepdim=True) + 1e-4
    advantages = ((rewards - rewards.mean(1, keepdim=True)) / spread).flatten()
    total, count = torch.zeros(()).double(), 0
    for new, ref, row, advantage in zip(logp(now), logp(start), rows, advantages, strict=True):
        ratio = (new - torch.tensor(row["old_logprobs"]).double()).exp()
        surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        kl = (ref - new).exp() - (ref - new) - 1
        total, count = total - (surrogate - 0.5 * kl).sum(), count + len(new)
    return total / count


def ppo(now: Seen, start: Seen, rows: list[dict[str, Any]]) -> torch.Tensor:
    total, count = torch.zeros(()).double(), 0
    for new, old, (_, _, value), row in zip(logp(now), logp(start), now, rows, strict=True):
        ratio = (new - old).exp()
        gain = torch.min(ratio * row["reward"], ratio.clamp(0.8, 1.2) * row["reward"])  # values were 0 at the start
        error = torch.max((value - row["reward"]) ** 2, (value.clamp(-0.2, 0.2) - row["reward"]) ** 2)
        total, count = total + (0.5 * error - gain).sum(), count + len(new)
    return total / count


def distil(now: Seen, start: Seen, rows: list[dict[str, Any]]) -> torch.Tensor:
    total, count = torch.zeros(()).double(), 0
    for (logs, targets, _), row in zip(now, rows, strict=True):
        teacher = torch.tensor(row["teacher_logprobs"]).double().exp()
        likely = logs.gather(1, torch.tensor(row["teacher_ids"]))
        total += 0.5 * (torch.nn.functional.nll_loss(logs, targets, reduction="sum") - (teacher * likely).sum())
        count += len(targets)
    return total / count


def given(name: str, start: Seen) -> list[dict[str, Any]]:
    """The rows with what an objective of that name reads beside their text."""
    draw = random.Random(3)
    rows = []
    for number, (row, old, (logs, _, _)) in enumerate(zip(PROMPTS, logp(start), start, strict=True)):
        more: dict[str, Any] = {"reward": round(draw.uniform(0.2, 1.0), 3)}
        if name == "grpo":  # answers of other weights, so that some ratios are clipped
            more |= {"group": number // 3, "old_logprobs": [float(v) + draw.uniform(-0.4, 0.4) for v in old]}
        if name == "distil":
            ids = [[draw.randrange(logs.shape[1]) for _ in range(3)] for _ in old]
            more |= {"teacher_ids": ids, "teacher_logprobs": [[-0.5, -1.5, -2.5] for _ in old]}
        rows.append({**row, **more})
    return rows


@pytest.mark.parametrize(("name", "formula"), [("grpo", grpo), ("ppo", ppo), ("distil", distil)])
def test_each_loss_is_that_of_a_plain_formula(
    name: str, formula: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    made = objectives.examples(model.renderer, Dataset.from_list(PROMPTS).canonical_row(0))
    sequences = [
        objectives.examples(model.renderer, row)[0].rows[0] for row in Dataset.from_list(PROMPTS).canonical_rows()
    ]
    assert made[0].rows[0] == sequences[0]
    start = plain(model, sequences)
    rows = given(name, start)
    options = {**OPTIONS, **({"method": "grpo", "beta": 0.5} if name == "grpo" else {"method": f"next_{name}"})}
    run = model.train(rows, **options)
    assert run.status == "succeeded", run.error
    for step, loss in enumerate(run.losses()):
        folder = run.checkpoint_at(step).path if step else None
        weights = load() if folder is None else load(adapter=folder)
        now = plain(weights, sequences, folder / "training" if folder is not None and name == "ppo" else None)
        assert loss == pytest.approx(float(formula(now, start, rows)), rel=2e-4, abs=2e-5), f"step {step}"
    assert len(set(np.round(run.losses(), 6))) == 3, "the weights moved"
    if (
        model.backend_name == "toy"
    ):  # whose gradients are written by hand; the momentum of the first step is the gradient
        table = torch.tensor(load().weights.table(), requires_grad=True)
        formula(plain(load(), sequences, table=table), start, rows).backward()
        found = load_file(run.checkpoint_at(1).path / "training" / "momentum.safetensors")["momentum"]
        torch.testing.assert_close(found, table.grad, rtol=1e-5, atol=1e-9)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        again = load().train(rows, **options)
    again.resume(load(), executor="thread").wait(timeout=60, raise_on_failure=True)
    assert again.losses() == run.losses()


@pytest.mark.parametrize("stop", [2, 3])
def test_rollouts_go_on_in_the_middle_of_a_batch(load: Any, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps share the answers of one moment; the weights that gave them are no more when the second is resumed."""
    options = {**OPTIONS, "method": "next_online", "max_steps": 5, "per_device_train_batch_size": 3}
    straight = load().train(PROMPTS, **options)
    assert straight.status == "succeeded", straight.error
    rewards = [row["reward"] for row in straight.metrics]
    assert rewards[0] == rewards[1] and rewards[2] == rewards[3] and len(set(rewards)) > 1
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        run = load().train(PROMPTS, **options)
    assert (run.status, run.step) == ("stopped", stop)
    run.resume(load(), executor="thread").wait(timeout=60, raise_on_failure=True)
    assert run.losses() == straight.losses() and [row["reward"] for row in run.metrics] == rewards


@pytest.mark.parametrize(("reward", "message"), [(None, "has none"), (float("nan"), "has something else")])
def test_a_row_without_what_the_objective_reads_is_refused_before_anything_starts(
    load: Any, reward: Any, message: str
) -> None:
    rows = [{**row, "reward": 1.0} for row in PROMPTS]
    rows[4]["reward"] = reward
    with pytest.raises(DataError, match=rf"Row 4 of .* {message}.* in the column 'reward'"):
        load().train(rows, **OPTIONS, method="next_ppo")
    assert not snb.runs.list()
