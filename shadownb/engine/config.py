"""TrainConfig: the one validated description of a training run.

Every face of the product (API call, panel form, ``%shadow`` option, command-line flag, YAML key) is generated from
the fields below; a test proves that all five list the same ones. The metadata of a field says where a form shows it
(``group``, ``advanced``) and how (``unit``, range, choices); its ``description`` is the help text everywhere.

Which method honours which field is not written here: it is derived from the method specs and the backend
(:mod:`shadownb.engine.capabilities`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shadownb.errors import ConfigError, ShadowError, did_you_mean

GROUPS = ("method", "schedule", "batch", "adapter", "data", "evaluation", "saving", "preference", "memory", "runtime")

# Which linear layers of a Llama-like block each preset means; "all" is every linear layer but the head, which
# "LoRA Without Regret" (Thinking Machines, 2025) found necessary to match full fine-tuning.
TARGET_PRESETS: dict[str, tuple[str, ...] | str] = {
    "all": "all-linear",
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}

DEFAULT_MAX_STEPS = 60


def _field(default: Any, help: str, group: str, *, advanced: bool = False, unit: str = "", **rules: Any) -> Any:
    return Field(
        default,
        description=help,
        json_schema_extra={"group": group, "advanced": advanced, "unit": unit},
        **rules,
    )


class TrainConfig(BaseModel):
    """What to train and how; immutable and validated on creation.

    Raises
    ------
    ConfigError
        An unknown field (with the closest name), a value outside its range (with the range), or a contradiction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    method: str = _field("lora", "Training method, see methods.available().", "method")
    learning_rate: float | None = _field(
        None, "Peak learning rate; empty means the method's own default.", "schedule", gt=0, le=10
    )
    num_train_epochs: float | None = _field(
        None, "Passes over the data. max_steps wins where both are set.", "schedule", gt=0, unit="epochs"
    )
    max_steps: int | None = _field(
        None,
        f"Optimizer steps. Empty: from num_train_epochs, or {DEFAULT_MAX_STEPS} if that is empty too.",
        "schedule",
        ge=1,
        unit="steps",
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_min_lr"] = _field(
        "linear", "How the learning rate falls after warm-up.", "schedule", advanced=True
    )
    warmup_steps: int = _field(
        5,
        "Steps over which the rate rises from 0; unless given, at most a tenth of the run.",
        "schedule",
        advanced=True,
        ge=0,
        unit="steps",
    )
    warmup_ratio: float | None = _field(
        None, "Warm-up as a share of all steps; wins over warmup_steps.", "schedule", advanced=True, ge=0, lt=1
    )
    weight_decay: float = _field(0.01, "AdamW weight decay.", "schedule", advanced=True, ge=0, le=1)
    max_grad_norm: float = _field(
        1.0, "Gradients are clipped to this norm; 0 turns clipping off.", "schedule", advanced=True, ge=0
    )
    optim: str = _field(
        "auto",
        "Optimizer name as in transformers (adamw_torch, adamw_8bit, ...); auto picks by hardware.",
        "schedule",
        advanced=True,
    )
    per_device_train_batch_size: int = _field(2, "Rows in one batch on a device.", "batch", ge=1, unit="rows")
    gradient_accumulation_steps: int = _field(
        4, "Batches whose gradients are summed into one optimizer step.", "batch", ge=1, unit="batches"
    )
    max_tokens_per_forward: int = _field(
        2048,
        "The rows of one step are computed in pieces of at most this many tokens; bounds memory, not results.",
        "memory",
        advanced=True,
        ge=16,
        unit="tokens",
    )
    max_seq_length: int | None = _field(
        None,
        "Rows longer than this are truncated; empty means the model's max_seq_length.",
        "batch",
        ge=8,
        unit="tokens",
    )
    packing: bool = _field(
        False,
        "Fill each batch row with several documents up to max_seq_length; attention stays inside each.",
        "batch",
        advanced=True,
    )
    lora_r: int = _field(16, "Adapter rank (bottleneck width for method adapter).", "adapter", ge=1, le=1024)
    lora_alpha: int = _field(32, "Adapter scale is lora_alpha / lora_r.", "adapter", ge=1)
    lora_dropout: float = _field(0.0, "Dropout on the adapter's input.", "adapter", advanced=True, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = _field(
        "all", "Layers that get an adapter: all, attention, mlp, or layer names.", "adapter", advanced=True
    )
    use_rslora: bool = _field(False, "Rank-stabilised scale: lora_alpha / sqrt(lora_r).", "adapter", advanced=True)
    init_lora_weights: Literal["default", "pissa", "loftq"] = _field(
        "default",
        "How LoRA starts: as nothing, from the base's principal directions (pissa), or from what 4 bits lost (loftq).",
        "adapter",
        advanced=True,
    )
    train_embeddings: bool = _field(
        False, "Train the input and output embeddings as well (new words, new scripts).", "adapter", advanced=True
    )
    num_virtual_tokens: int = _field(
        16, "Length of the learned prompt (prompt, ptuning).", "adapter", ge=1, unit="tokens"
    )
    prompt_tuning_init_text: str = _field(
        "",
        "Text whose embeddings the learned prompt starts from; empty takes frequent tokens of the training answers.",
        "adapter",
        advanced=True,
    )
    loss_on: Literal["assistant", "last", "all"] = _field(
        "assistant", "Tokens that are trained: every assistant turn, the last one, or all.", "data"
    )
    train_on_completions: bool | None = _field(
        None, "Older name: true is loss_on=assistant, false is loss_on=all.", "data", advanced=True
    )
    seed: int = _field(3407, "Seeds adapter initialisation, data order and dropout.", "runtime", advanced=True, ge=0)
    beta: float = _field(0.1, "Strength of the pull towards the reference model (dpo, kto, grpo).", "preference", gt=0)
    dpo_loss: Literal["sigmoid", "hinge", "ipo"] = _field(
        "sigmoid", "Loss over a pair's margin, as trl's loss_type (dpo).", "preference", advanced=True
    )
    desirable_weight: float = _field(1.0, "Weight of answers found good (kto).", "preference", advanced=True, gt=0)
    undesirable_weight: float = _field(1.0, "Weight of answers found bad (kto).", "preference", advanced=True, gt=0)
    grpo_group_size: int = _field(4, "Completions sampled for each prompt (grpo).", "preference", ge=2)
    grpo_max_completion_length: int = _field(
        256, "Longest sampled completion (grpo).", "preference", ge=1, unit="tokens"
    )
    retrieval_k: int = _field(2, "Memories fetched for each token (more).", "adapter", advanced=True, ge=1)
    retrieval_layers: int = _field(8, "Last blocks that see the memory (more).", "adapter", advanced=True, ge=1)
    more_plus_k: int = _field(1, "Experts used for one question (more_plus).", "adapter", advanced=True, ge=1)
    more_plus_expert_steps: int = _field(
        0, "Steps for one expert; 0 chooses (more_plus).", "adapter", advanced=True, ge=0, unit="steps"
    )
    more_plus_group_size: int = _field(
        1, "Rows that share one expert (more_plus).", "adapter", advanced=True, ge=1, unit="rows"
    )
    more_plus_tau: float = _field(
        0.5, "Confidence below which no expert is used (more_plus).", "adapter", advanced=True, ge=0, le=1
    )
    logging_steps: int = _field(
        1, "Steps between two points of the curves.", "evaluation", advanced=True, ge=1, unit="steps"
    )
    eval_steps: int | float | None = _field(
        None,
        "Steps between evaluations; below 1 a share of the run; empty means four times in a run.",
        "evaluation",
        gt=0,
        unit="steps",
    )
    sample_prompts: tuple[str, ...] = _field(
        (),
        "Prompts answered at each evaluation; empty takes three from the evaluation data.",
        "evaluation",
        advanced=True,
    )
    sample_max_new_tokens: int = _field(
        48, "Longest sampled answer; 0 turns samples off.", "evaluation", advanced=True, ge=0, unit="tokens"
    )
    early_stopping_patience: int | None = _field(
        None, "Stop after this many evaluations without improvement.", "evaluation", ge=1, unit="evaluations"
    )
    early_stopping_threshold: float = _field(
        0.0, "Improvement of the evaluation loss that counts.", "evaluation", advanced=True, ge=0
    )
    save_steps: int | None = _field(
        None, "Steps between checkpoints; empty means four times in a run.", "saving", ge=1, unit="steps"
    )
    save_total_limit: int = _field(2, "Newest checkpoints to keep.", "saving", advanced=True, ge=1)
    load_best_model_at_end: bool = _field(
        False, "End with the checkpoint of the lowest evaluation loss instead of the last.", "saving"
    )
    resume_from_checkpoint: str | None = _field(
        None, "Checkpoint folder (or run id) to start from, optimizer state included.", "saving", advanced=True
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = _field(
        "auto", "Recompute activations to save memory; auto only where they would not fit.", "memory", advanced=True
    )
    executor: Literal["auto", "thread", "process"] = _field(
        "auto",
        "Where training runs: a thread of this process, or a worker process that survives the kernel.",
        "runtime",
    )
    report_to: tuple[str, ...] = _field(
        (),
        "Trackers known to transformers (trackio, tensorboard, mlflow, wandb); none by default.",
        "runtime",
        advanced=True,
    )

    # -- creation ------------------------------------------------------------------------------------------------

    def __init__(self, **values: Any) -> None:
        unknown = [name for name in values if name not in type(self).model_fields]
        if unknown:
            name = unknown[0]
            raise ConfigError(
                f"{name}={values[name]!r} is not a training option.{did_you_mean(name, list(type(self).model_fields))}",
                fix="Call shadownb.TrainConfig.describe() for the list of options.",
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _as_config_error(error) from None

    @field_validator("sample_prompts", "report_to", mode="before")
    @classmethod
    def _one_string_is_one_item(cls, value: Any) -> Any:
        # Otherwise report_to="wandb" becomes ("w", "a", "n", "d", "b").
        return (value,) if isinstance(value, str) and value else (value or ())

    @field_validator("report_to", mode="before")
    @classmethod
    def _none_is_no_tracker(cls, value: Any) -> Any:
        return () if value in ("none", ("none",), ["none"]) else value

    @field_validator("method")
    @classmethod
    def _method_exists(cls, value: str) -> str:
        from shadownb.engine import methods

        return methods.get(value).name

    @field_validator("target_modules")
    @classmethod
    def _targets_are_named(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, str) and value not in TARGET_PRESETS:
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("train_on_completions") is not None:
            meant = "assistant" if values["train_on_completions"] else "all"
            if values.get("loss_on", meant) != meant:
                raise ValueError(
                    f"train_on_completions={values['train_on_completions']} means loss_on={meant!r}, "
                    f"but loss_on={values['loss_on']!r} was given as well; give only loss_on"
                )
            return {**values, "loss_on": meant}
        return values

    @model_validator(mode="before")
    @classmethod
    def _method_defaults(cls, values: Any) -> Any:
        from shadownb.engine import methods

        if isinstance(values, dict) and methods.known(values.get("method", "lora")):
            return {**dict(methods.get(values.get("method", "lora")).defaults), **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if isinstance(self.eval_steps, float) and self.eval_steps > 1 and not self.eval_steps.is_integer():
            raise ValueError(f"eval_steps={self.eval_steps} must be a whole number of steps or a share below 1")
        return self

    # -- derived values ------------------------------------------------------------------------------------------

    @property
    def rows_per_step(self) -> int:
        """Rows in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def resolved_learning_rate(self) -> float:
        """Return the peak learning rate: the given one or the method's default."""
        from shadownb.engine import methods

        return self.learning_rate if self.learning_rate is not None else methods.get(self.method).default_learning_rate

    def resolved_total_steps(self, items: int) -> int:
        """Return the optimizer steps for ``items`` rows (packs where packing is on)."""
        if self.max_steps is not None:
            return self.max_steps
        if self.num_train_epochs is not None:
            per_epoch = -(-items // self.rows_per_step)
            return max(1, -(-int(per_epoch * self.num_train_epochs * 1000) // 1000))
        return DEFAULT_MAX_STEPS

    def resolved_warmup(self, total_steps: int) -> int:
        """Return the warm-up steps as given; by default never more than a tenth of the run."""
        if self.warmup_ratio is not None:
            return round(self.warmup_ratio * total_steps)
        if "warmup_steps" in self.model_fields_set:
            return min(self.warmup_steps, total_steps)
        return min(self.warmup_steps, total_steps // 10)  # in a run of one step the only rate would be 0

    def resolved_eval_steps(self, total_steps: int) -> int:
        """Return the steps between evaluations."""
        if self.eval_steps is None:
            return max(1, total_steps // 4)
        if self.eval_steps < 1:
            return max(1, round(self.eval_steps * total_steps))
        return int(self.eval_steps)

    def resolved_save_steps(self, total_steps: int) -> int:
        """Return the steps between checkpoints."""
        return self.save_steps if self.save_steps is not None else max(1, total_steps // 4)

    def resolved_target_modules(self) -> str | tuple[str, ...]:
        """Return the layer names peft gets, presets expanded."""
        if isinstance(self.target_modules, str):
            return TARGET_PRESETS[self.target_modules]
        return self.target_modules

    # -- forms of the same thing ---------------------------------------------------------------------------------

    @property
    def changed(self) -> dict[str, Any]:
        """The fields that were given explicitly and differ from their default (the method's, where it has one)."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name in self.model_fields_set and getattr(self, name) != self._default_of(name)
        }

    def _default_of(self, name: str) -> Any:
        from shadownb.engine import methods

        return dict(methods.get(self.method).defaults).get(name, type(self).model_fields[name].default)

    def replace(self, **values: Any) -> TrainConfig:
        """Return a copy with other values, validated again."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**given, **values})

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON-compatible values."""
        return self.model_dump(mode="json")

    def to_yaml(self, *, only_changed: bool = False) -> str:
        """Return YAML that :meth:`from_yaml` reads back to an equal config."""
        values = self.to_dict()
        if only_changed:
            values = {name: values[name] for name in ["method", *self.changed] if name in values}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, source: str | Path) -> TrainConfig:
        """Read a config from YAML text, or from a file when given a path."""
        text = Path(source).read_text(encoding="utf-8") if isinstance(source, Path) else source
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ConfigError(
                f"The configuration is not valid YAML: {error}", fix="Write one 'option: value' a line."
            ) from None
        if not isinstance(values, dict):
            raise ConfigError(
                f"The configuration is a {type(values).__name__}, not options.", fix="Write one 'option: value' a line."
            )
        return cls(**values)

    @classmethod
    def describe(cls) -> str:
        """Return a table of all options as text: name, type, default, help."""
        from shadownb.engine.config_fields import config_fields

        rows = [f"{f.name:28} {f.kind:10} {f.default!s:12} {f.help}" for f in config_fields()]
        return "\n".join(rows)


def _as_config_error(error: ValidationError) -> ConfigError:
    """Turn pydantic's first complaint into one sentence with the option, its value and the range."""
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return ConfigError(f"The options contradict each other: {message}.", fix="Leave one of them out.")
    name = str(first["loc"][0])
    context = first.get("ctx", {}).get("error")
    if isinstance(context, ShadowError):
        return ConfigError(context.what, why=context.why, fix=context.fix)
    message = message[0].lower() + message[1:] if message else "not valid"
    return ConfigError(
        f"{name}={first['input']!r}: {message}.", fix=f"{name}: {TrainConfig.model_fields[name].description}"
    )
