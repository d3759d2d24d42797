"""Which method honours which option on which backend: derived from the specs and the backend, never written by hand.

An option that was set and has no effect is an error that names it; nothing is ignored silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine import methods, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_objectives import option_names, table_of_method
from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.methods import MethodSpec
from shadownb.engine.methods.computed_by import lacking
from shadownb.engine.methods.guests import guest
from shadownb.errors import ConfigError, MethodError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


# Options of a run whose steps all move the same weights.
_WHOLE_RUN = (
    "max_steps", "num_train_epochs", "lr_scheduler_type", "warmup_steps", "warmup_ratio", "weight_decay", "max_grad_norm",
    "on_divergence", "optim", "per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "shards",
    "early_stopping_patience", "early_stopping_threshold", "load_best_model_at_end", "resume_from_checkpoint",
)  # fmt: skip


def blocked(
    spec: MethodSpec,
    model: LoadedModel | None = None,
    data_format: str | None = None,
    *,
    from_base: bool = False,
    backend_name: str | None = None,
) -> str | None:
    """Return why a method cannot be used here and what to do about it, or None if it can.

    With ``from_base`` the training starts from the fresh base, whatever the model carries now. ``backend_name`` is that which a
    model that is not loaded yet will be loaded with, where it is known.
    """
    reason = unfit(spec, model, data_format)
    if reason is not None:
        return reason
    try:
        objectives.get(spec.objective)
    except (ConfigError, MissingDependencyError) as error:  # of a package that is broken, or not here
        return error.what.rstrip(".")
    if model is None or not model.is_loaded:
        why = None if backend_name is None else lacking(spec, backend_name)
        return None if why is None else f"{spec.name} is not there on backend {backend_name}: {why}"
    try:
        model.backend.check(model, TrainConfig(method=spec.name), from_base=from_base)
    except MethodError as error:
        return ". ".join(part.rstrip(".") for part in (error.what, error.fix) if part)
    return None


def unfit(spec: MethodSpec, model: LoadedModel | None, data_format: str | None) -> str | None:
    """Return what the data's shape or the base's number format speaks against a method, or None."""
    reason = spec.unfit(data_format)
    if reason is not None or model is None:
        return reason
    if spec.quantized_base is True and model.quantization is None:
        return (
            f"{spec.name} needs a base in 4 or 8 bits, this one is {model.dtype_name}; "
            f'load it with shadownb.load("{model.public_name}", quantize="4bit")'
        )
    if spec.quantized_base is False and model.quantization is not None:
        return (
            f"{spec.name} needs the base weights themselves, which a {model.quantization} base does not have; "
            f'load it with shadownb.load("{model.public_name}")'
        )
    return None


def supported_fields(
    method: str, backend_name: str = DEFAULT, *, spec: MethodSpec | None = None
) -> dict[str, str | None]:
    """Return, for every option, None where the method honours it, else the reason why not."""
    spec = spec or methods.get(method)
    own = _of_guest(spec) if spec.guest else backend(backend_name).fields | set(_of_objective(spec))
    honoured = own | set(spec.fields)
    pointless = _pointless(spec)
    return {
        name: pointless.get(name) if name in honoured else f"{method} on {backend_name} does not use it{_used_by(name)}"
        for name in dict.fromkeys((*option_names(), *sorted(own)))
    }


def _pointless(spec: MethodSpec) -> dict[str, str]:
    """Return the options that the trainer reads but that cannot change anything for what the method trains, and why."""
    found = {}
    if spec.data_formats == ("text",):
        for name in ("loss_on", "assistant_only_loss"):
            found[name] = f"{spec.name} trains every token of a text"
        found["on_template_drop"] = f"{spec.name} trains texts as they are, without a chat template"
    if spec.adapter == "facts":
        found |= {name: f"{spec.name} trains each fact for expert_steps steps" for name in _WHOLE_RUN}
    if spec.adapter == "reader":
        found |= {
            name: f"{spec.name} trains its reader for reader_steps steps" for name in ("max_steps", "num_train_epochs")
        }
        found |= {name: f"{spec.name} only looks at the model" for name in ("gradient_checkpointing", "shards")}
    if spec.adapter == "reward":
        found["sample_prompts"] = f"{spec.name} gives no text"
    if spec.adapter == "bias":
        found["weight_decay"] = f"{spec.name} trains biases, which AdamW does not decay"
    return found


def resume_means(spec: MethodSpec) -> str:
    """Return what a resume is with a method, in one sentence."""
    if spec.guest:
        return str(guest(spec.guest).resume)
    return "A resume goes on to the same weights, bit for bit, as if the run had never been broken off."


def table() -> dict[str, dict[str, bool]]:
    """Return the capability table: for every method, which options it honours."""
    return {
        spec.name: {name: reason is None for name, reason in supported_fields(spec.name).items()}
        for spec in methods.available()
    }


def check(config: TrainConfig, backend_name: str = DEFAULT) -> None:
    """Raise ConfigError for the first option that was set and that the method does not honour."""
    objectives.get(config.spec.objective)  # or it is said here what is wrong with it
    support = supported_fields(config.method, backend_name, spec=config.spec)
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
    users = [spec.name for spec in methods.available() if name in (*spec.fields, *_of_objective(spec))]
    return f" (it is for {', '.join(users)})" if users else ""


def _of_guest(spec: MethodSpec) -> frozenset[str]:
    """Return what a guest's method honours of every training's options, and its own; nothing where the guest is not here."""
    try:
        table = table_of_method(spec)
        honoured: frozenset[str] = guest(spec.guest).fields(spec)
    except (ConfigError, MethodError, MissingDependencyError):
        return frozenset()
    return honoured | set(table.model_fields if table is not None else ())


def _of_objective(spec: MethodSpec) -> tuple[str, ...]:
    """Return what a method's objective honours; nothing where this process does not know it, and looks at another's run."""
    try:
        return objectives.get(spec.objective).honoured()
    except (ConfigError, MissingDependencyError):
        return ()
