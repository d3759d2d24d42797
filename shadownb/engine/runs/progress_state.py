"""What goes on counting over a resume, and the JSON it is kept in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shadownb.engine.rendering.examples import Example

PROGRESS = "progress.json"
_BEFORE_OUR_LOOP = "trainer_state.json"  # of transformers' Trainer, which counted the steps up to run format 1


@dataclass
class Progress:
    """Where a run stands; part of every checkpoint."""

    step: int = 0
    elapsed_s: float = 0.0
    tokens: int = 0
    trained_tokens: int = 0
    best_eval_loss: float | None = None
    best_step: int | None = None
    patience_eval_loss: float | None = None  # what the next evaluation must be below by the threshold
    evals_without_improvement: int = 0
    evaluated_step: int | None = None  # newest step that was evaluated, and sampled: a stop may come before either
    sampled_step: int | None = None
    loss_since_log: list[float] = field(default_factory=list)
    metrics_since_log: dict[str, list[float]] = field(default_factory=dict)
    skipped_steps: int = 0  # whose gradients were infinite by the scale of fp16
    divergence: dict[str, Any] = field(default_factory=dict)  # what DivergenceWatch has seen

    @classmethod
    def load(cls, folder: Path) -> Progress:
        """Read what :meth:`save` wrote."""
        kept = _read(folder / PROGRESS)
        if "step" not in kept:
            kept["step"] = _read(folder / _BEFORE_OUR_LOOP)["global_step"]
        return cls(**kept)

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint."""
        (folder / PROGRESS).write_text(json.dumps(asdict(self), allow_nan=False), encoding="utf-8")

    def count(self, examples: Sequence[Example], loss: float, *, skipped: bool) -> int:
        """Count a step that is done; returns its tokens."""
        rows = [row for example in examples for row in example.rows]
        tokens = sum(len(row.input_ids) for row in rows)
        self.step += 1
        self.skipped_steps += skipped
        self.tokens += tokens
        self.trained_tokens += sum(row.predicted_tokens for row in rows)
        self.loss_since_log.append(loss)
        return tokens

    def judge(self, loss: float, threshold: float) -> None:
        """Note the evaluation loss of the step: is it the best one, and how long has none been better by the threshold."""
        if self.best_eval_loss is None or loss < self.best_eval_loss:
            self.best_eval_loss, self.best_step = loss, self.step
        if self.patience_eval_loss is None or loss < self.patience_eval_loss - threshold:
            self.patience_eval_loss, self.evals_without_improvement = loss, 0
        else:
            self.evals_without_improvement += 1
        self.evaluated_step = self.step

    def forget_other_run(self) -> None:
        """Judge anew: evaluations and losses of another run were of other rows, and its best step has no checkpoint here."""
        self.divergence = {}
        self.best_eval_loss = self.best_step = self.patience_eval_loss = None
        self.evaluated_step = self.sampled_step = None
        self.evals_without_improvement = 0


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
