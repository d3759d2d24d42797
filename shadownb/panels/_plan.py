"""What will really run: the form's values resolved to figures, each with the reason for it."""

from __future__ import annotations

from typing import Any

from shadownb.engine import capabilities, methods
from shadownb.engine.config import TrainConfig


def plan_rows(config: TrainConfig, data: Any, model: Any, evaluation: str, train_rows: int) -> list[dict[str, str]]:
    """Return rows of ``label``, ``value`` and ``reason`` for the card shown before the start.

    Parameters
    ----------
    evaluation
        The evaluation choice in words, empty for none.
    train_rows
        Valid rows left for training.
    """
    spec = methods.get(config.method)
    steps = config.resolved_total_steps(train_rows)
    rows = [
        _row("Method", spec.title, spec.hint),
        _row("Model", f"{model.name}, {model.dtype_name} on {model.device}", _quantization(model)),
        _row("Data", f"{train_rows:,} rows in {data.format} format", _skipped(data)),
        _row("Evaluation", evaluation or "none", "" if evaluation else "no evaluation loss, no samples"),
        _row(
            "Steps",
            f"{_count(steps, 'step')} of {_count(config.rows_per_step, 'row')}",
            _length(config, steps, train_rows),
        ),
        _row(
            "Learning rate",
            f"{config.resolved_learning_rate():g}, {config.lr_scheduler_type}",
            _rate(config, spec.rate_source),
        ),
        _row("Warm-up", _count(config.resolved_warmup(steps), "step"), ""),
        _row("Checkpoint", _every(config.resolved_save_steps(steps)), f"the newest {config.save_total_limit} are kept"),
    ]
    if capabilities.supported_fields(config.method)["loss_on"] is None:
        rows.append(_row("Loss over", _loss_words(config.loss_on), ""))
    return rows


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def _every(steps: int) -> str:
    return "after every step" if steps == 1 else f"every {steps:,} steps"


def _row(label: str, value: str, reason: str) -> dict[str, str]:
    return {"label": label, "value": value, "reason": reason}


def _quantization(model: Any) -> str:
    return f"base held in {model.quantization}" if model.quantization else ""


def _skipped(data: Any) -> str:
    bad = len(data.report.bad)
    if bad == 0:
        return "all rows can be used"
    return "1 bad row is left out" if bad == 1 else f"{bad:,} bad rows are left out"


def _length(config: TrainConfig, steps: int, rows: int) -> str:
    passes = steps * config.rows_per_step / max(1, rows)
    if config.max_steps is not None:
        why = "as set"
    elif config.num_train_epochs is not None:
        why = f"from {config.num_train_epochs:g} epochs"
    else:
        why = "the default"
    return f"{why}; {passes:.2g} passes over the data"


def _rate(config: TrainConfig, source: str) -> str:
    return "as set" if config.learning_rate is not None else f"default of {config.method}: {source}"


def _loss_words(loss_on: str) -> str:
    return {"assistant": "every assistant turn", "last": "the last assistant turn", "all": "all tokens"}[loss_on]
