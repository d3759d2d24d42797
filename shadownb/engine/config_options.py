"""The options of a training run: each one's type, default, range, unit, help, and where a form shows it.

Their order is that of forms, flags, YAML and documentation. ``group`` and ``advanced`` say where a form shows an option;
``description`` is its help text everywhere. What only some objectives have stands in tables of theirs
(:mod:`.config_objectives`).
"""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

GROUPS = (
    "method", "schedule", "batch", "adapter", "data", "evaluation", "saving", "preference", "reward", "objective", "memory",
    "runtime",
)  # fmt: skip

# Which layers of a Llama-like block each preset means; where a model calls them otherwise, those of its attention and its
# feed-forward part. "all" is every linear layer but head and routers, and fused experts, which "LoRA Without Regret"
# (Thinking Machines, 2025) found necessary to match full fine-tuning.
TARGET_PRESETS: dict[str, tuple[str, ...] | str] = {
    "all": "all-linear",
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}

DEFAULT_MAX_STEPS = 60


def option(
    default: Any,
    help: str,
    group: str = "objective",
    *,
    advanced: bool = False,
    unit: str = "",
    registered: str | None = None,
    functions: str | None = None,
    **rules: Any,
) -> Any:
    """Return the field of an option, for the tables of objectives, too.

    Parameters
    ----------
    group
        One of ``GROUPS``: where a form shows it.
    advanced
        Whether a form shows it only to who asks for more.
    registered
        The kind in the registry whose names, and "auto", are its choices.
    functions
        The kind in the registry whose names it takes, beside functions of the notebook.
    rules
        pydantic's: ``gt``, ``ge``, ``lt``, ``le``.
    """
    return Field(
        default,
        description=help,
        json_schema_extra={
            "group": group,
            "advanced": advanced,
            "unit": unit,
            "registered": registered,
            "functions": functions,
        },
        **rules,
    )


class Options(BaseModel):
    """The fields of :class:`~shadownb.engine.config.TrainConfig`, without what is checked and computed from them."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    # -- method, length and rate ----------------------------------------------------------------------------------

    method: str = option(
        "lora", "Training method; shadownb.methods.available() and `shadownb methods` list them.", "method"
    )
    learning_rate: float | None = option(
        None, "Peak learning rate; empty uses the method's default.", "schedule", gt=0, le=10
    )
    num_train_epochs: float | None = option(
        None, "Passes over the data; max_steps takes precedence if both are set.", "schedule", gt=0, unit="epochs"
    )
    max_steps: int | None = option(
        None,
        f"Number of optimizer steps. Empty: taken from num_train_epochs, or {DEFAULT_MAX_STEPS} if that is empty too.",
        "schedule",
        ge=1,
        unit="steps",
    )
    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "constant",
        "constant_with_warmup",
        "cosine_with_min_lr",
        "inverse_sqrt",
        "warmup_stable_decay",
    ] = option(
        "linear",
        "How the learning rate changes after warm-up. cosine_with_min_lr ends at a tenth of the peak; warmup_stable_decay "
        "stays at the peak and decays over the last fifth of the run.",
        "schedule",
        advanced=True,
    )
    warmup_steps: int = option(
        5,
        "Steps over which the learning rate rises from 0; the default is shortened to a tenth of a short run.",
        "schedule",
        advanced=True,
        ge=0,
        unit="steps",
    )
    warmup_ratio: float | None = option(
        None,
        "Warm-up as a fraction of all steps; takes precedence over warmup_steps.",
        "schedule",
        advanced=True,
        ge=0,
        lt=1,
    )
    weight_decay: float = option(0.01, "Weight decay (AdamW).", "schedule", advanced=True, ge=0, le=1)
    max_grad_norm: float = option(
        1.0, "Gradients are clipped to this norm; 0 turns clipping off.", "schedule", advanced=True, ge=0
    )
    on_divergence: Literal["stop", "continue"] = option(
        "stop",
        "What to do when the loss climbs far above where it began: stop at the last good checkpoint, or continue with a warning.",
        "schedule",
        advanced=True,
    )
    optim: str = option(
        "auto",
        "Optimizer: a name that transformers uses (adamw_torch, adamw_8bit, ...), or module:function for a function that returns "
        "one; auto chooses by hardware.",
        "schedule",
        advanced=True,
    )

    # -- rows of a step -------------------------------------------------------------------------------------------

    per_device_train_batch_size: int = option(2, "Rows in one batch on each device.", "batch", ge=1, unit="rows")
    gradient_accumulation_steps: int = option(
        4, "Batches whose gradients are accumulated into one optimizer step.", "batch", ge=1, unit="batches"
    )
    max_tokens_per_forward: int = option(
        2048,
        "Most tokens of one forward pass. A step is split into passes of this size, which limits memory and does not change "
        "the result.",
        "memory",
        advanced=True,
        ge=16,
        unit="tokens",
    )
    max_length: int | None = option(
        None,
        "Longer rows are truncated (cpt splits them instead); empty uses the model's max_length.",
        "batch",
        ge=8,
        unit="tokens",
    )
    packing: bool = option(
        False,
        "Put several documents into one sequence of up to max_length tokens; no document attends to another.",
        "batch",
        advanced=True,
    )

    shards: int = option(
        1,
        "Split each step into this many parts whose gradients are computed separately and summed in a fixed order, so that one "
        "process and several give bit-identical results.",
        "batch",
        advanced=True,
        ge=1,
        le=256,
    )

    # -- what is trained ------------------------------------------------------------------------------------------

    lora_r: int = option(
        16, "Rank of the adapter (for method=adapter: width of the bottleneck).", "adapter", ge=1, le=1024
    )
    lora_alpha: int = option(32, "The adapter's output is scaled by lora_alpha / lora_r.", "adapter", ge=1)
    lora_dropout: float = option(
        0.0, "Dropout probability on the adapter's input.", "adapter", advanced=True, ge=0, lt=1
    )
    target_modules: str | tuple[str, ...] = option(
        "all",
        "Which layers get an adapter: all, attention, mlp, or names of layers and expert tensors.",
        "adapter",
        advanced=True,
    )
    use_rslora: bool = option(
        False, "Rank-stabilised LoRA: scale by lora_alpha / sqrt(lora_r) instead.", "adapter", advanced=True
    )
    init_lora_weights: Literal["default", "pissa", "loftq"] = option(
        "default",
        "How LoRA weights are initialised: default leaves the model unchanged at the start, pissa uses the base's principal "
        "directions, loftq makes up for the error of 4-bit quantisation.",
        "adapter",
        advanced=True,
    )
    train_embeddings: bool = option(
        False, "Also train the input and output embeddings (for new words or scripts).", "adapter", advanced=True
    )
    num_virtual_tokens: int = option(
        16, "Length of the learned prompt (prompt and ptuning).", "adapter", ge=1, unit="tokens"
    )
    prompt_tuning_init_text: str = option(
        "",
        "Text whose embeddings the learned prompt starts from; empty uses frequent tokens of the training answers.",
        "adapter",
        advanced=True,
    )

    # -- tokens, seed ---------------------------------------------------------------------------------------------

    loss_on: Literal["assistant", "last", "all"] = option(
        "assistant", "Which tokens count in the loss: those of every assistant turn, of the last one, or all.", "data"
    )
    assistant_only_loss: bool | None = option(
        None, "trl's name for the same: true means loss_on=assistant, false means loss_on=all.", "data", advanced=True
    )
    on_template_drop: Literal["auto", "refuse", "leave_out", "bundled"] = option(
        "auto",
        "What to do if the model's chat template drops part of a row (a system prompt, text beside a tool call, reasoning): "
        "refuse skips the row, leave_out trains the rest of it, bundled writes the part with a bundled template; auto refuses "
        "rows that lose text, and leaves out reasoning and names. All of it is counted.",
        "data",
        advanced=True,
    )
    seed: int = option(
        3407,
        "Seed of the adapter's initialisation, the order of the data, and dropout.",
        "runtime",
        advanced=True,
        ge=0,
    )

    # -- curves, evaluation, samples ------------------------------------------------------------------------------

    logging_steps: int = option(1, "Steps between two logged points.", "evaluation", advanced=True, ge=1, unit="steps")
    eval_steps: int | float | None = option(
        None,
        "Steps between evaluations; below 1 a fraction of the run; empty means four evaluations in a run.",
        "evaluation",
        gt=0,
        unit="steps",
    )
    sample_prompts: tuple[str, ...] = option(
        (),
        "Prompts that the model answers at each evaluation; empty takes three from the evaluation data.",
        "evaluation",
        advanced=True,
    )
    sample_max_new_tokens: int = option(
        48, "Longest sample answer; 0 turns samples off.", "evaluation", advanced=True, ge=0, unit="tokens"
    )
    early_stopping_patience: int | None = option(
        None, "Stop after this many evaluations in a row without improvement.", "evaluation", ge=1, unit="evaluations"
    )
    early_stopping_threshold: float = option(
        0.0, "How much the evaluation loss must fall to count as an improvement.", "evaluation", advanced=True, ge=0
    )

    # -- checkpoints ----------------------------------------------------------------------------------------------

    save_steps: int | None = option(
        None, "Steps between checkpoints; empty means four checkpoints in a run.", "saving", ge=1, unit="steps"
    )
    save_total_limit: int = option(
        2, "How many checkpoints to keep; older ones are deleted.", "saving", advanced=True, ge=1
    )
    load_best_model_at_end: bool = option(
        False, "Finish with the checkpoint that had the lowest evaluation loss instead of the last one.", "saving"
    )
    resume_from_checkpoint: str | None = option(
        None,
        "Checkpoint folder (or run id) to start from, including the optimizer's state; learning rate and schedule are those of "
        "the new run.",
        "saving",
        advanced=True,
    )

    # -- the machine, trackers ------------------------------------------------------------------------------------

    gradient_checkpointing: Literal["auto", "on", "off"] = option(
        "auto",
        "Recompute activations in the backward pass to save memory; auto does so only if they would not fit.",
        "memory",
        advanced=True,
    )
    executor: str = option(
        "auto",
        "Where the training runs: thread (in this process) or process (a worker that survives the kernel).",
        "runtime",
        registered="executor",
    )
    queue: bool = option(
        False,
        "Wait until no other run that waits in line trains on the device (snb.runs.queue() shows it); off trains at once.",
        "runtime",
        advanced=True,
    )
    notify: tuple[str, ...] = option(
        (),
        "Channels to tell at the end, by the names that snb.notifications.add() gave them; none by default.",
        "runtime",
        advanced=True,
    )
    report_to: tuple[str, ...] = option(
        (),
        "Experiment trackers that transformers knows (trackio, tensorboard, mlflow, wandb); none by default.",
        "runtime",
        advanced=True,
    )


def kind_of(hint: Any) -> tuple[Any, bool, tuple[str, ...]]:
    """Return (kind, may be empty, choices) of an option's type."""
    optional = False
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        optional = len(arms) < len(typing.get_args(hint))
        if len(arms) > 1:
            return ("float" if float in arms else "str"), optional, ()
        hint = arms[0]
    if typing.get_origin(hint) is Literal and all(isinstance(choice, str) for choice in typing.get_args(hint)):
        return "choice", optional, tuple(typing.get_args(hint))
    if typing.get_origin(hint) in (tuple, list):
        return "list", optional, ()
    return (hint.__name__ if isinstance(hint, type) else str(hint)), optional, ()
