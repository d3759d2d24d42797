"""What a resume takes from a checkpoint: optimizers with 8-bit state, the adapter's scale, another run's state and rates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from shadownb.errors import CheckpointError, RunError
from tests.engine.methods_data import CASES, chats, logits, sha, stop_after

OPTIONS: dict[str, Any] = {
    "max_steps": 8,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "save_steps": 4,
    "save_total_limit": 20,
    "sample_max_new_tokens": 0,
    "learning_rate": 5e-3,
    "lora_r": 4,
}


def loaded(folder: Path) -> Any:
    return snb.load(str(folder), max_length=256, dtype="float32")


def train(model: Any, **more: Any) -> Run:
    run: Run = model.train(chats(), background=True, **{**OPTIONS, **more})
    return run.wait(timeout=120)


def finished(run: Run) -> Run:
    run.wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def curve(run: Run) -> list[tuple[int, float, float]]:
    return [(m["step"], m["loss"], m["learning_rate"]) for m in run.metrics]


def trained_sha(run: Run) -> str:
    return str(run.checkpoint_at().manifest["trained_sha256"])


def stopped(step: int, monkeypatch: pytest.MonkeyPatch, model: Any, **more: Any) -> Run:
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        run = train(model, **more)
    assert (run.status, run.step) == ("stopped", step), run.error or run.traceback()
    return run


def failed(step: int, monkeypatch: pytest.MonkeyPatch, model: Any, **more: Any) -> Run:
    """Train until the step after ``step`` fails."""
    computed = Loop.compute

    def failing(self: Loop, *args: Any) -> float:
        if self.step == step:
            raise ZeroDivisionError("broken off")
        return computed(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "compute", failing)
        run = train(model, **more)
    assert (run.status, run.step) == ("failed", step), run.error
    return run


# -- optimizers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optim", ["adamw_8bit", "paged_adamw_8bit", "lion_32bit", "lion_8bit", "adafactor", "sgd"])
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_every_kind_of_optimizer_stops_and_resumes_exactly(
    optim: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"optim": optim, "lora_r": 64}  # 64 x 64 numbers: bitsandbytes has fewer in 32 bits
    straight = finished(train(loaded(byte_model_dir), **options))
    run = stopped(3, monkeypatch, loaded(byte_model_dir), **options)
    state = load_file(run.checkpoint_at().path / "training" / "optimizer.safetensors")
    assert any(tensor.dtype == torch.uint8 for tensor in state.values()) == ("8bit" in optim)
    finished(snb.runs.load(run.id).resume())
    assert curve(run) == curve(straight)
    assert trained_sha(run) == trained_sha(straight)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"optim": "sgd"}, r"state of torch.AdamW, and optim='sgd' is torch.SGD"),
        ({"optim": "adamw_8bit"}, r"state of torch.AdamW, and optim='adamw_8bit' is bitsandbytes"),
        ({"train_embeddings": True}, r"train_embeddings=False.* train_embeddings=True"),
    ],
)
def test_a_checkpoint_of_another_optimizer_or_of_other_weights_is_refused(
    more: dict[str, Any], message: str, home: Path, byte_model_dir: Path
) -> None:
    first = finished(train(loaded(byte_model_dir), max_steps=4))
    model = loaded(byte_model_dir)
    run = train(model, resume_from_checkpoint=first.id, **more)
    assert run.status == "failed"
    with pytest.raises(CheckpointError, match=message):
        raise run.error  # type: ignore[misc]
    assert model.adapter is None


def test_a_checkpoint_with_embeddings_is_refused_by_a_run_without(home: Path, byte_model_dir: Path) -> None:
    first = finished(train(loaded(byte_model_dir), max_steps=4, train_embeddings=True))
    run = train(loaded(byte_model_dir), resume_from_checkpoint=first.id)
    assert isinstance(run.error, CheckpointError)
    assert "train_embeddings=True" in run.error.what


# -- the adapter's scale --------------------------------------------------------------------------------------------------


def trained_twice(folder: Path) -> Any:
    """A model with an adapter of another scale than a new one would have; its second run is to be stopped."""
    model = loaded(folder)
    finished(train(model, max_steps=2, lora_alpha=128, use_rslora=True))
    return model


@pytest.mark.parametrize("given", ["the base", "another adapter", "what another run left"])
def test_a_resume_brings_the_scale_of_its_own_checkpoint(
    given: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = finished(train(trained_twice(byte_model_dir)))
    trained_on = trained_twice(byte_model_dir)
    run = stopped(5, monkeypatch, trained_on)
    model = loaded(byte_model_dir)
    if given == "another adapter":
        finished(train(model, max_steps=1, lora_alpha=8, target_modules="attention"))
    elif given == "what another run left":
        model = trained_on
        finished(train(model, max_steps=1))
    finished(snb.runs.load(run.id).resume(model))
    assert curve(run) == curve(straight)
    assert trained_sha(run) == trained_sha(straight)
    assert torch.equal(logits(model), logits(snb.load(run.id)))


def test_a_worker_s_result_replaces_an_adapter_of_another_scale(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped(3, monkeypatch, loaded(byte_model_dir))
    other = loaded(byte_model_dir)
    finished(train(other, max_steps=1, lora_alpha=128))
    finished(snb.runs.load(run.id).resume(other, executor="process"))
    assert other.trained == (run.id, 8)
    assert torch.equal(logits(other), logits(snb.load(run.id)))


@pytest.mark.parametrize(
    ("option", "value"), [("lora_alpha", 64), ("use_rslora", True), ("init_lora_weights", "pissa")]
)
def test_a_checkpoint_of_another_scale_is_refused(option: str, value: Any, home: Path, byte_model_dir: Path) -> None:
    first = finished(train(loaded(byte_model_dir), max_steps=4, **{option: value}))
    model = loaded(byte_model_dir)
    run = train(model, resume_from_checkpoint=first.id)
    assert run.status == "failed"
    assert isinstance(run.error, CheckpointError)
    assert f"{option}={value}" in run.error.what and f"{option}={value!r}" in run.error.fix
    assert model.adapter is None
    run = finished(train(model, resume_from_checkpoint=first.id, **{option: value}))
    assert [m["step"] for m in run.metrics] == [5, 6, 7, 8]


def test_a_pissa_adapter_with_a_rank_stabilised_scale_is_loaded_with_its_alpha(
    home: Path, byte_model_dir: Path
) -> None:
    options = {"init_lora_weights": "pissa", "use_rslora": True, "lora_alpha": 28}  # 28 * sqrt(2) / sqrt(2) > 28
    run = finished(train(loaded(byte_model_dir), max_steps=2, **options))
    model = snb.load(run.id)
    finished(train(model, max_steps=1, **options))


def test_a_discard_after_a_resume_goes_back_to_the_checkpoint(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lora", "full"):
        case = CASES[name]
        with monkeypatch.context() as patch:
            stop_after(patch, 3)
            run = case.train(loaded(byte_model_dir), max_steps=8)
        model = loaded(byte_model_dir)
        with monkeypatch.context() as patch:
            stop_after(patch, 5, "discard")
            again = snb.runs.load(run.id).resume(model).wait(timeout=60)
        assert again.status == "discarded", again.error or again.traceback()
        assert model.trained == (run.id, 3)
        assert sha(model) == run.checkpoint_at(3).manifest["trained_sha256"]


# -- another run's checkpoint ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_run_that_breaks_off_before_its_own_checkpoint_goes_on_from_the_given_one(
    executor: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished(train(loaded(byte_model_dir), max_steps=4))
    options: dict[str, Any] = {"resume_from_checkpoint": first.id, "save_steps": 8}
    straight = finished(train(loaded(byte_model_dir), **options))
    assert [m["step"] for m in straight.metrics] == [5, 6, 7, 8]
    model = loaded(byte_model_dir)
    run = failed(6, monkeypatch, model, **options)
    assert run.checkpoints() == []
    finished(run.resume(executor=executor))
    assert curve(run) == curve(straight)
    assert trained_sha(run) == trained_sha(straight)


def test_what_a_run_resumed_from_is_held_until_it_is_done(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    home.with_name("link").symlink_to(home)
    monkeypatch.setenv("SHADOWNB_HOME", str(home.with_name("link")))
    first = stopped(5, monkeypatch, loaded(byte_model_dir), save_steps=1, save_total_limit=1)
    given = first.checkpoint_at().path.resolve()
    run = failed(6, monkeypatch, loaded(byte_model_dir), resume_from_checkpoint=str(given), save_steps=8)
    with pytest.raises(RunError, match=f"{run.id}.*cannot be resumed without it"):
        snb.runs.delete(first.id)
    finished(snb.runs.load(first.id).resume())
    assert [c.step for c in first.checkpoints()] == [5, 8]
    aside = given.rename(given.with_name("aside"))
    lost = snb.runs.load(run.id).resume().wait(timeout=60)
    assert isinstance(lost.error, CheckpointError)
    assert str(given) in lost.error.why
    aside.rename(given)
    finished(lost.resume())
    assert run.metrics[0]["step"] == 6
    snb.runs.delete(first.id)


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_8bit"])
def test_another_run_s_checkpoint_brings_no_rates(optim: str, home: Path, byte_model_dir: Path) -> None:
    first = finished(train(loaded(byte_model_dir), max_steps=4, optim=optim, weight_decay=0.1))
    options: dict[str, Any] = {"learning_rate": 1e-5, "weight_decay": 0.3, "optim": optim, "warmup_steps": 0}
    run = finished(train(loaded(byte_model_dir), resume_from_checkpoint=first.id, **options))
    rates = [(m["step"], m["learning_rate"]) for m in finished(train(loaded(byte_model_dir), **options)).metrics]
    assert [(m["step"], m["learning_rate"]) for m in run.metrics] == rates[4:]
    groups = snb.runs.load(run.id).checkpoint_at().path / "training" / "optimizer.json"
    assert '"weight_decay": 0.3' in groups.read_text() and '"weight_decay": 0.1' not in groups.read_text()


def test_other_rows_another_seed_and_other_steps_are_told(byte_model_dir: Path, home: Path) -> None:
    began = finished(train(loaded(byte_model_dir), max_steps=4))
    place = str(began.checkpoint_at(4).path)

    def told(rows: list[Any], **more: Any) -> list[str]:
        run = loaded(byte_model_dir).train(
            rows, background=True, **{**OPTIONS, "resume_from_checkpoint": place, **more}
        )
        return [
            warning["what"] for warning in finished(run).state.warnings if warning["code"] == "resumed-on-other-rows"
        ]

    assert told(chats()) == []
    (what,) = told(chats()[:-1], seed=1, per_device_train_batch_size=2)
    assert "step 4" in what and "other rows" in what and "seed=3407, not 1" in what and "4 rows, not 2" in what
    # A checkpoint from before it kept this is asked by its run's record; alone in a folder, nobody knows.
    manifest = Path(place, "manifest.json")
    content = json.loads(manifest.read_text())
    del content["order"]
    manifest.write_text(json.dumps(content))
    assert told(chats()) == [] and "other rows" in told(chats()[:-1])[0]
    place = str(shutil.copytree(place, home / "alone"))
    assert "cannot be told" in told(chats())[0]
