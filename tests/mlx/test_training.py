"""What a training on MLX can be told: to compute blocks again, in 16 bits, at a rate that is too high."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import MethodError, RunError
from tests.engine.methods_data import OPTIONS, chats, logits


def load(folder: Path, **options: Any) -> Any:
    return snb.load(str(folder), backend="mlx", **{"dtype": "float32", "max_length": 256, **options})


@pytest.mark.parametrize("method", ["lora", "full", "adapter"])
def test_blocks_that_are_computed_again_give_the_same_gradients(byte_model_dir: Path, method: str) -> None:
    runs = []
    for again in ("off", "on"):
        model = load(byte_model_dir)
        run = model.train(chats(), method=method, gradient_checkpointing=again, background=False, **OPTIONS)
        assert run.status == "succeeded", run.error
        assert run.state.record["actual_setup"]["gradient_checkpointing"] is (again == "on")
        runs.append([(m["loss"], m["grad_norm"]) for m in run.metrics])
        assert isinstance(model.generate("Hello", max_new_tokens=3), str), "the blocks are as they were"
    for mine, theirs in zip(*runs, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_number_that_is_none_ends_the_run_and_gives_the_weights_back(
    byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """At the third step; in the words of the torch backend."""
    from shadownb.engine.objectives.supervised import Supervised

    plain, calls = Supervised.loss, [0]

    def broken(self: Any, ops: Any, *given: Any, **more: Any) -> Any:
        found = plain(self, ops, *given, **more)
        calls[0] += 1
        if calls[0] < 3:
            return found
        # The root's slope at 0 is infinite, and what it is multiplied with is 0 there: the loss is finite, its gradient is not.
        return found * float("nan") if what == "loss" else found + (found - ops.stop(found)) ** 0.5

    model = load(byte_model_dir)
    before = logits(model)
    monkeypatch.setattr(Supervised, "loss", broken)
    with pytest.raises(RunError, match=rf"The {what} became (nan|inf) after step 2 \(learning_rate="):
        model.train(chats(), method="full", background=False, **{**OPTIONS, "save_steps": 50})
    assert (logits(model) == before).all()


def test_a_base_in_fp16_answers_and_is_not_trained(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, dtype="float16")
    assert isinstance(model.generate("Hello", max_new_tokens=3), str)
    with pytest.raises(MethodError, match="float16"):
        model.train(chats(), background=False, **OPTIONS)


@pytest.mark.parametrize("optim", ["adamw", "adafactor", "lion", "sgd", "adagrad", "rmsprop"])
def test_every_optimizer_trains_and_is_gone_on_with(byte_model_dir: Path, optim: str, monkeypatch: Any) -> None:
    from tests.engine.methods_data import stop_after

    options = {**OPTIONS, "optim": optim, "weight_decay": 0.0 if optim in ("adagrad", "rmsprop") else 0.01}
    straight = load(byte_model_dir).train(chats(), background=False, **options)
    assert straight.status == "succeeded", straight.error
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = load(byte_model_dir).train(chats(), background=False, **options)
    snb.runs.load(run.id).resume().wait(timeout=60)
    run = snb.runs.load(run.id)
    assert run.losses() == straight.losses()
    final = [each.checkpoint_at().manifest["trained_sha256"] for each in (run, straight)]
    assert final[0] == final[1]


def test_an_estimate_is_made_of_what_is_there(byte_model_dir: Path) -> None:
    from shadownb.engine.estimate import estimate

    model = load(byte_model_dir, quantize="4bit")
    plain = load(byte_model_dir)
    assert model.weights.base_bytes < plain.weights.base_bytes and model.parameters_total == plain.parameters_total
    found = estimate(model, snb.TrainConfig(method="qlora"), snb.Dataset(chats()))
    assert found.fits and dict(found.lines)["weights"] == pytest.approx(model.weights.base_bytes / 1e9)
    assert "adapters on 14 layers of 7 kinds" in str(found.reach)
