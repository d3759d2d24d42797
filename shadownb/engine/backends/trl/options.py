"""A trainer's options: those of TrainConfig in trl's words, and those of its own with what cannot be kept here."""

from __future__ import annotations

import dataclasses
import typing
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from shadownb.engine.backends.trl.known import TRAINERS, Found
from shadownb.engine.config_options import Options
from shadownb.engine.importable import importable_name
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from shadownb.engine.ports.guest import GuestRun

# Options of TrainConfig that mean the same there.
FIELDS = frozenset(
    {
        "method", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
        "weight_decay", "max_grad_norm", "optim", "per_device_train_batch_size", "gradient_accumulation_steps", "seed",
        "logging_steps", "eval_steps", "sample_prompts", "sample_max_new_tokens", "early_stopping_patience",
        "early_stopping_threshold", "save_steps", "save_total_limit", "load_best_model_at_end", "gradient_checkpointing",
        "executor", "queue", "notify", "report_to",
    }
)  # fmt: skip

# Of transformers' own arguments, those that change nothing but the optimizer's steps.
_OPTIMIZER = ("adam_beta1", "adam_beta2", "adam_epsilon")

_MODEL = "the model is loaded already, by shadownb.load()"
_TEMPLATE = "the model's chat template and its tokens are used, so that answers are asked as rows are trained"
_PRINTS = "it prints into the cell or needs a tracker's own client; samples are in the Run panel"
_SERVER = "it needs vLLM, and the model of this process answers"
REFUSED: dict[str, str] = {
    "model_init_kwargs": _MODEL,
    "trust_remote_code": "code that comes with a model is never run here",
    "push_to_hub": "nothing of a run leaves this machine",
    "output_dir": "a run has a folder of its own",
    "chat_template_path": _TEMPLATE,
    "chat_template_kwargs": _TEMPLATE,
    "eos_token": _TEMPLATE,
    "pad_token": _TEMPLATE,
    "dataset_num_proc": "rows are prepared in this process",
    "dataset_kwargs": "rows are given in the shape that the trainer wants",
    "dataset_text_field": "rows are given in the shape that the trainer wants",
    "packing": "how many steps an epoch has is counted from rows",
    "log_completions": _PRINTS,
    "log_completions_hub_repo": "nothing of a run leaves this machine",
    "num_completions_to_print": _PRINTS,
    "log_unique_prompts": _PRINTS,
    "generate_during_eval": _PRINTS,
    "is_encoder_decoder": "models here continue a text",
    "ref_model_init_kwargs": _MODEL,
    "teacher_model_name_or_path": "teacher_model= names the teacher here",
    "teacher_model_revision": "teacher_model= names the teacher here",
    "teacher_model_init_kwargs": "teacher_model= names the teacher here",
    "teacher_tokenizer_name_or_path": "the teacher's own tokenizer is taken",
    "reward_model_path": "reward_funcs= judges the answers here",
    "use_liger_kernel": "it rewrites the model's layers for the whole process",
    "use_transformers_paged": "it changes how the model in memory attends",
    "activation_offloading": "it is not tested on models that also answer meanwhile",
    "sync_ref_model": "it trains the reference along, which is the base under the adapter",
    "ds3_gather_for_generation": "a run here is of one process",
    "use_vllm": _SERVER,
    "bf16": "the model's number format is chosen by shadownb.load(dtype=...)",
    "fp16": "the model's number format is chosen by shadownb.load(dtype=...)",
    "resume_from_checkpoint": "a run of trl is resumed by run.resume(); start= takes another run's weights",
}  # fmt: skip

# Parts of the names of options that reach out of this process.
_REACHING = (
    (("vllm",), _SERVER),
    (("wandb", "trackio"), _PRINTS),
    (("server", "url", "hub"), "nothing of a run leaves this machine"),
)


def refused(found: Found) -> dict[str, str]:
    """Return the options of a trainer that cannot be kept here, with the reason."""
    names = {field.name for field in dataclasses.fields(found.config_class())}
    reaching = {name: reason for name in names for words, reason in _REACHING if any(word in name for word in words)}
    return {name: reason for name, reason in {**reaching, **REFUSED}.items() if name in names}


def fields(found: Found) -> frozenset[str]:
    """Return the options of TrainConfig that a trainer honours."""
    names = {field.name for field in dataclasses.fields(found.config_class())}
    honoured = set(FIELDS)
    if "max_length" in names:
        honoured.add("max_length")
    if "assistant_only_loss" in names:
        honoured.add("assistant_only_loss")
    if TRAINERS[found.name].answers:  # a batch there is of answers to prompts, so passes over the rows are not counted
        honoured.discard("num_train_epochs")
    return frozenset(honoured)


@cache
def table(found: Found) -> type[BaseModel]:
    """Return the table of a trainer's own options: those it has beside transformers', with its defaults."""
    from transformers import TrainingArguments

    config = found.config_class()
    hints = typing.get_type_hints(config)
    every = {field.name for field in dataclasses.fields(TrainingArguments)}
    left_out = {*refused(found), *Options.model_fields, "max_length"}
    made: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        if field.name in left_out or not field.init or (field.name in every and field.name not in _OPTIMIZER):
            continue
        told = str(field.metadata.get("help", ""))
        if field.default_factory is not dataclasses.MISSING:
            value = Field(default_factory=field.default_factory, description=told)
        else:
            value = Field(field.default, description=told)
        made[field.name] = (hints[field.name], value)
    known = TRAINERS[found.name]
    if known.judged:
        made["reward_funcs"] = (
            tuple[str, ...],
            Field((), description="Functions that judge answers, as module:function."),
        )
        made["reward_columns"] = (
            tuple[str, ...],
            Field((), description="Columns of the data that these functions read."),
        )
    if known.taught:
        made["teacher_model"] = (
            str | None,
            Field(None, description="The teacher: a name or a folder, as load takes it."),
        )
    return create_model(f"{found.config}Options", __base__=_Table, **made)


class _Table(BaseModel):
    """What all tables have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), arbitrary_types_allowed=True)

    @field_validator("reward_funcs", mode="before", check_fields=False)
    @classmethod
    def _functions_by_name(cls, value: Any) -> Any:
        # A run is resumed in other processes, so its record names the functions.
        given = value if isinstance(value, list | tuple) else (value,)
        return tuple(importable_name("reward_funcs", one) if callable(one) else one for one in given)

    @field_validator("reward_columns", mode="before", check_fields=False)
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


OURS = ("reward_funcs", "reward_columns", "teacher_model")  # of a table, and no options of trl's


def arguments(found: Found, run: GuestRun, device: torch.device, autocast: str, *, judged: bool) -> Any:
    """Return the trainer's configuration.

    Parameters
    ----------
    autocast
        ``bf16``, ``fp16`` or ``no``: in which format the passes are computed.
    judged
        Whether there are evaluation rows.
    """
    config, steps = run.config, run.total_steps
    names = {field.name for field in dataclasses.fields(found.config_class())}
    own = {name: value for name, value in dict(config.objective_options).items() if name not in OURS}
    if "max_length" in names:
        own["max_length"] = run.max_length
    if config.assistant_only_loss is not None:  # a field of all trainings, so in no trainer's table
        own["assistant_only_loss"] = config.assistant_only_loss
    given = {
        **own,
        "output_dir": str(run.folder / "trl"),
        "run_name": run.folder.name,
        "max_steps": steps,
        "learning_rate": config.resolved_learning_rate(),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch" if config.optim == "auto" else config.optim,
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "per_device_eval_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "gradient_checkpointing": config.gradient_checkpointing == "on",
        "seed": config.seed,
        "logging_steps": config.logging_steps,
        "logging_first_step": False,
        "logging_nan_inf_filter": False,  # it would write the mean of the numbers that are left
        "eval_strategy": "steps" if judged else "no",
        "eval_steps": run.eval_steps if judged else None,
        "save_strategy": "steps",
        "save_steps": run.save_steps,
        "report_to": list(config.report_to) or "none",
        "bf16": autocast == "bf16",
        "fp16": autocast == "fp16",
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": device.type == "cuda",
        "disable_tqdm": True,
        "push_to_hub": False,
    }
    try:
        made = found.config_class()(**{name: value for name, value in given.items() if name in names})
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"method={config.method!r} does not take these options: {str(error).splitlines()[0].rstrip('.')}.",
            why=f"It is trl's {found.config} that says so.",
            fix="Change the options that it names.",
        ) from None
    made._n_gpu = min(1, made.n_gpu)  # or the Trainer would spread the model over all that it sees
    return made
