"""What will really run: the form's values resolved to figures, each with the reason for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from shadownb.engine import capabilities
from shadownb.engine.config import TrainConfig

_UNKNOWN = "known once the rows are counted"


class Amount(NamedTuple):
    """What an epoch goes through: rows, examples that rows give, or packs of those; counted, or following from a sample."""

    items: int
    counted: bool


def plan_rows(
    config: TrainConfig,
    data: Any,
    model: Any,
    start: tuple[str, str],
    evaluation: str,
    train_rows: int,
    amount: Amount | None,
    template: tuple[str, ...] | None = None,
    reach: list[str] | None = None,
) -> list[dict[str, str]]:
    """Return rows of ``label``, ``value`` and ``reason`` for the card shown before the start.

    Parameters
    ----------
    start
        What the run starts from, and what that means.
    evaluation
        The evaluation choice in words, empty for none.
    train_rows
        Valid rows left for training.
    amount
        What an epoch goes through; None while that is not known.
    template
        What the chat template refuses or leaves out of the rows; None while that is not known.
    reach
        What is trained of the model, and what stays frozen; None while that is not known.
    """
    spec = config.spec
    steps = _steps(config, amount)
    word = "pack" if config.packing else "row" if amount is None or amount.items == train_rows else "example"
    rows = [
        _row("Method", spec.title, spec.hint),
        _row("Model", f"{model.name}, {model.dtype_name} on {model.device}", _quantization(model)),
        _row("Starts from", *start),
        _row("Data", f"{train_rows:,} rows in {data.format} format", _skipped(data)),
        _row("Evaluation", evaluation or "none", "" if evaluation else "no evaluation loss"),
        _row(
            "Steps",
            _UNKNOWN
            if steps is None
            else f"{_about(config, amount)}{_count(steps, 'step')} of {_count(config.rows_per_step, word)}",
            _length(config, steps, amount, word),
        ),
        _row(
            "Learning rate",
            f"{config.resolved_learning_rate():g}, {config.lr_scheduler_type}",
            _rate(config, spec.rate_source),
        ),
        _row(
            "Warm-up",
            _UNKNOWN if steps is None else _count(config.resolved_warmup(steps), "step"),
            "the rate is constant" if config.lr_scheduler_type == "constant" else "",
        ),
        _row(
            "Checkpoint",
            _UNKNOWN if steps is None else _every(config.resolved_save_steps(steps)),
            f"the newest {config.save_total_limit} are kept",
        ),
    ]
    if reach:
        rows.insert(1, _row("Trains", reach[0], reach[1]))
    if template:
        rows.append(_row("Chat template", "; ".join(template), f"on_template_drop is {config.on_template_drop}"))
    if capabilities.supported_fields(config.method)["loss_on"] is None:
        rows.append(_row("Loss over", _loss_words(config.loss_on), ""))
    return rows


def _by_epochs(config: TrainConfig) -> bool:
    return config.max_steps is None and config.num_train_epochs is not None


def _steps(config: TrainConfig, amount: Amount | None) -> int | None:
    """Return the optimizer steps; None where they follow from an amount that is not known yet."""
    if _by_epochs(config) and amount is None:
        return None
    return config.resolved_total_steps(amount.items if amount is not None else 0)


def _about(config: TrainConfig, amount: Amount | None) -> str:
    return "about " if _by_epochs(config) and amount is not None and not amount.counted else ""


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


def _length(config: TrainConfig, steps: int | None, amount: Amount | None, word: str) -> str:
    if config.max_steps is not None:
        why = "as set"
    elif config.num_train_epochs is not None:
        why = f"from {config.num_train_epochs:g} epochs"
    else:
        why = "the default"
    if steps is None or amount is None:
        return why
    passes = steps * config.rows_per_step / max(1, amount.items)
    over = "the data" if word == "row" else ("" if amount.counted else "about ") + _count(amount.items, word)
    return f"{why}; {passes:,.0f} passes over {over}" if passes >= 10 else f"{why}; {passes:.2g} passes over {over}"


def _rate(config: TrainConfig, source: str) -> str:
    return "as set" if config.learning_rate is not None else f"default of {config.method}: {source}"


def _loss_words(loss_on: str) -> str:
    return {"assistant": "every assistant turn", "last": "the last assistant turn", "all": "all tokens"}[loss_on]
