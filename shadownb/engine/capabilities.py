"""Which method honours which option on which backend: derived from the specs and the backend, never written by hand.

An option that was set and has no effect is an error that names it; nothing is ignored silently.
"""

from __future__ import annotations

from shadownb.engine import methods, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.methods import MethodSpec
from shadownb.errors import ConfigError

# What the torch trainer does with every method, apart from the options a method's own spec lists.
TORCH_FIELDS = frozenset(
    {
        "method", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
        "weight_decay", "max_grad_norm", "on_divergence", "optim", "per_device_train_batch_size", "gradient_accumulation_steps",
        "max_tokens_per_forward", "max_seq_length", "seed", "logging_steps", "eval_steps",
        "sample_prompts", "sample_max_new_tokens", "early_stopping_patience", "early_stopping_threshold",
        "save_steps", "save_total_limit", "load_best_model_at_end", "resume_from_checkpoint", "gradient_checkpointing",
        "executor", "report_to", "on_template_drop",
    }
)  # fmt: skip


def supported_fields(method: str, backend: str = "torch") -> dict[str, str | None]:
    """Return, for every option, None where the method honours it, else the reason why not."""
    spec = methods.get(method)
    honoured = TORCH_FIELDS | set(objectives.get(spec.objective).fields) | set(spec.fields)
    pointless = _pointless(spec)
    return {
        name: pointless.get(name) if name in honoured else f"{method} on {backend} does not use it{_used_by(name)}"
        for name in TrainConfig.model_fields
    }


def _pointless(spec: MethodSpec) -> dict[str, str]:
    """Return the options that the trainer reads but that cannot change anything for what the method trains, and why."""
    found = {}
    if spec.data_formats == ("text",):
        for name in ("loss_on", "train_on_completions"):
            found[name] = f"{spec.name} trains every token of a text"
        found["on_template_drop"] = f"{spec.name} trains texts as they are, without a chat template"
    if spec.surface == "bias":
        found["weight_decay"] = f"{spec.name} trains biases, which AdamW does not decay"
    return found


def table() -> dict[str, dict[str, bool]]:
    """Return the capability table: for every method, which options it honours."""
    return {
        spec.name: {name: reason is None for name, reason in supported_fields(spec.name).items()}
        for spec in methods.available()
    }


def check(config: TrainConfig) -> None:
    """Raise ConfigError for the first option that was set and that the method does not honour."""
    support = supported_fields(config.method)
    for name in config.changed:
        if support[name] is not None:
            raise ConfigError(
                f"{name}={getattr(config, name)!r} has no effect: {support[name]}.", fix=f"Leave {name} out."
            )
    _check_companions(config)


def _check_companions(config: TrainConfig) -> None:
    """Refuse options that were set and that another option leaves without effect."""
    changed = config.changed
    if config.early_stopping_patience is None and "early_stopping_threshold" in changed:
        raise ConfigError(
            f"early_stopping_threshold={config.early_stopping_threshold} has no effect: early_stopping_patience is not set.",
            fix="Set early_stopping_patience, or leave early_stopping_threshold out.",
        )
    for name in ("warmup_steps", "warmup_ratio"):
        if config.lr_scheduler_type == "constant" and changed.get(name):
            raise ConfigError(
                f"{name}={changed[name]} has no effect: lr_scheduler_type='constant' has no warm-up.",
                fix=f"Use lr_scheduler_type='constant_with_warmup', or leave {name} out.",
            )


def check_without_evaluation(config: TrainConfig, *, samples: bool) -> None:
    """Raise ConfigError for the first option that was set and that needs evaluation rows, of a run that has none.

    Parameters
    ----------
    samples
        Whether prompts are answered at the evaluation points, so that ``eval_steps`` still says when.
    """
    needing = ("early_stopping_patience", "load_best_model_at_end", *(() if samples else ("eval_steps",)))
    for name in needing:
        if name in config.changed:
            raise ConfigError(
                f"{name}={getattr(config, name)!r} has no effect: there are no evaluation rows.",
                fix=f"Give eval_dataset='auto' (it holds out a tenth of the rows) or rows, or leave {name} out.",
            )


def _used_by(name: str) -> str:
    users = [
        spec.name for spec in methods.available() if name in (*spec.fields, *objectives.get(spec.objective).fields)
    ]
    return f" (it is for {', '.join(users)})" if users else ""
