"""Golden curves of every method, and what must not change a run: how a step is split, packed, shared, and where it runs.

The curves in ``golden/`` were written by ``python -m tests.engine.golden_write``. Machines round differently (kernels,
number of threads), and fifty steps carry that on, so a loss may be off by 2e-3 of its size and a gradient norm by 5e-2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shadownb import methods
from shadownb.engine.backends.torch.packed_batch import PackedBatch
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.runs import Run
from tests.engine.golden_write import FOLDER, NAMES, STEPS, has_a_curve, train
from tests.engine.methods_data import Case, curve

pytestmark = pytest.mark.other_cpu


def test_every_method_has_a_golden_curve() -> None:
    names = {spec.name for spec in methods.available() if has_a_curve(spec.name)}
    assert set(NAMES) == names
    assert {path.stem for path in FOLDER.glob("*.json")} == names


@pytest.mark.parametrize("name", NAMES)
def test_golden_curve(name: str, home: Path, byte_model_dir: Path) -> None:
    kept = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    found = curve(train(name, byte_model_dir))
    assert len(found) == len(kept["loss"]) == len(kept["grad_norm"]) == STEPS
    assert [loss for loss, _ in found] == pytest.approx(kept["loss"], rel=2e-3)
    assert [norm for _, norm in found] == pytest.approx(kept["grad_norm"], rel=5e-2)
    # A curve that falls, so that a method that learns nothing cannot become golden.
    assert sum(kept["loss"][-5:]) < sum(kept["loss"][:5])


# -- what must not change a run -----------------------------------------------------------------------------------------

OBJECTIVES = {
    "sft": Case("lora", {"lora_r": 4}),
    "dpo": Case("dpo", {"lora_r": 4}, data="preference"),
    "kto": Case("kto", {"lora_r": 4}, data="unpaired"),
}
EIGHT: dict[str, Any] = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": 1e-3}


def outcome(run: Run) -> tuple[list[tuple[float, float]], str]:
    assert run.status == "succeeded", run.error or run.traceback()
    return curve(run), run.checkpoint_at().manifest["trained_sha256"]


class Counted:
    """How the trained batches were made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.batches = self.tokens = self.rows = 0
        tokens = Passes.tokens

        def watched(passes: Passes, batch: PackedBatch) -> Any:
            if passes.adapter.module.training:
                self.batches += 1
                self.tokens += batch.input_ids.shape[1]
                self.rows += batch.rows
            return tokens(passes, batch)

        patch.setattr(Passes, "tokens", watched)


def counted(case: Case, folder: Path, **options: Any) -> tuple[Run, Counted]:
    with pytest.MonkeyPatch.context() as patch:
        seen = Counted(patch)
        return case.train(case.load(folder), **EIGHT, **options), seen


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_8_rows_once_are_1_row_8_times(objective: str, home: Path, byte_model_dir: Path) -> None:
    case = OBJECTIVES[objective]
    together = case.train(case.load(byte_model_dir), **EIGHT)
    one_by_one = {**EIGHT, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    assert outcome(case.train(case.load(byte_model_dir), **one_by_one)) == outcome(together)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_thread_is_a_process(objective: str, home: Path, byte_model_dir: Path) -> None:
    case = OBJECTIVES[objective]
    thread = case.train(case.load(byte_model_dir), **EIGHT, lora_dropout=0.2)
    process = case.train(case.load(byte_model_dir), **EIGHT, lora_dropout=0.2, executor="process")
    assert [event for event in process.events() if event["type"] == "worker"]
    assert outcome(process) == outcome(thread)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_packed_is_one_example_a_piece(objective: str, home: Path, byte_model_dir: Path) -> None:
    case = OBJECTIVES[objective]
    packed, few = counted(case, byte_model_dir)
    alone, many = counted(case, byte_model_dir, max_tokens_per_forward=16)
    assert (many.batches, many.rows) == (8 * 4, few.rows)
    assert few.batches < many.batches / 2
    close(packed, alone)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_shared_start_changes_nothing(
    objective: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = OBJECTIVES[objective]
    shared, with_sharing = counted(case, byte_model_dir)
    with monkeypatch.context() as patch:
        patch.setattr(Passes, "shares", property(lambda _: False, lambda *_: None), raising=False)
        plain, without = counted(case, byte_model_dir)
    assert with_sharing.rows == without.rows
    assert with_sharing.tokens < 0.8 * without.tokens, "nothing was shared"
    close(shared, plain)


def close(one: Run, other: Run) -> None:
    """Compare up to rounding: sums in another order, adapter on over four steps of AdamW."""
    outcome(one), outcome(other)
    assert [loss for loss, _ in curve(one)] == pytest.approx([loss for loss, _ in curve(other)], rel=1e-4)
    assert [norm for _, norm in curve(one)] == pytest.approx([norm for _, norm in curve(other)], rel=1e-3)
