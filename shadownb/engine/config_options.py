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
    "method", "schedule", "batch", "adapter", "data", "evaluation", "saving", "preference", "objective", "memory", "runtime",
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
    rules
        pydantic's: ``gt``, ``ge``, ``lt``, ``le``.
    """
    return Field(
        default,
        description=help,
        json_schema_extra={"group": group, "advanced": advanced, "unit": unit, "registered": registered},
        **rules,
    )


class Options(BaseModel):
    """The fields of :class:`~shadownb.engine.config.TrainConfig`, without what is checked and computed from them."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    # -- method, length and rate ----------------------------------------------------------------------------------

    method: str = option(
        "lora", "Training method; shadownb.methods.available() and the verb methods list them.", "method"
    )
    learning_rate: float | None = option(
        None, "Peak learning rate; empty means the method's own default.", "schedule", gt=0, le=10
    )
    num_train_epochs: float | None = option(
        None, "Passes over the data. max_steps wins where both are set.", "schedule", gt=0, unit="epochs"
    )
    max_steps: int | None = option(
        None,
        f"Optimizer steps. Empty: from num_train_epochs, or {DEFAULT_MAX_STEPS} if that is empty too.",
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
        "How the learning rate falls after warm-up; cosine_with_min_lr ends at a tenth of it, warmup_stable_decay falls in "
        "the last fifth of the run.",
        "schedule",
        advanced=True,
    )
    warmup_steps: int = option(
        5,
        "Steps over which the rate rises from 0; unless given, at most a tenth of the run.",
        "schedule",
        advanced=True,
        ge=0,
        unit="steps",
    )
    warmup_ratio: float | None = option(
        None, "Warm-up as a share of all steps; wins over warmup_steps.", "schedule", advanced=True, ge=0, lt=1
    )
    weight_decay: float = option(0.01, "AdamW weight decay.", "schedule", advanced=True, ge=0, le=1)
    max_grad_norm: float = option(
        1.0, "Gradients are clipped to this norm; 0 turns clipping off.", "schedule", advanced=True, ge=0
    )
    on_divergence: Literal["stop", "continue"] = option(
        "stop",
        "When the loss has climbed far above where it began: stop at the last good checkpoint, or continue with a warning.",
        "schedule",
        advanced=True,
    )
    optim: str = option(
        "auto",
        "Optimizer by its name in transformers (adamw_torch, adamw_8bit, ...), or a function that makes one, by module:function; "
        "auto picks by hardware.",
        "schedule",
        advanced=True,
    )

    # -- rows of a step -------------------------------------------------------------------------------------------

    per_device_train_batch_size: int = option(2, "Rows in one batch on a device.", "batch", ge=1, unit="rows")
    gradient_accumulation_steps: int = option(
        4, "Batches whose gradients are summed into one optimizer step.", "batch", ge=1, unit="batches"
    )
    max_tokens_per_forward: int = option(
        2048,
        "The rows of one step are computed in pieces of at most this many tokens; bounds memory, not results.",
        "memory",
        advanced=True,
        ge=16,
        unit="tokens",
    )
    max_length: int | None = option(
        None,
        "Rows longer than this are cut (cpt splits them instead); empty means the model's max_length.",
        "batch",
        ge=8,
        unit="tokens",
    )
    packing: bool = option(
        False,
        "Fill each batch row with several documents up to max_length; attention stays inside each.",
        "batch",
        advanced=True,
    )

    shards: int = option(
        1,
        "Parts of a step whose gradients are computed by themselves and summed in order, so that several processes that share "
        "them come to the same bits as one.",
        "batch",
        advanced=True,
        ge=1,
        le=256,
    )

    # -- what is trained ------------------------------------------------------------------------------------------

    lora_r: int = option(16, "Adapter rank (bottleneck width for method adapter).", "adapter", ge=1, le=1024)
    lora_alpha: int = option(32, "Adapter scale is lora_alpha / lora_r.", "adapter", ge=1)
    lora_dropout: float = option(0.0, "Dropout on the adapter's input.", "adapter", advanced=True, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = option(
        "all",
        "What gets an adapter: all, attention, mlp, or names of layers and expert tensors.",
        "adapter",
        advanced=True,
    )
    use_rslora: bool = option(False, "Rank-stabilised scale: lora_alpha / sqrt(lora_r).", "adapter", advanced=True)
    init_lora_weights: Literal["default", "pissa", "loftq"] = option(
        "default",
        "How LoRA starts: as nothing, from the base's principal directions (pissa), or from what 4 bits lost (loftq).",
        "adapter",
        advanced=True,
    )
    train_embeddings: bool = option(
        False, "Train the input and output embeddings as well (new words, new scripts).", "adapter", advanced=True
    )
    num_virtual_tokens: int = option(
        16, "Length of the learned prompt (prompt, ptuning).", "adapter", ge=1, unit="tokens"
    )
    prompt_tuning_init_text: str = option(
        "",
        "Text whose embeddings the learned prompt starts from; empty takes frequent tokens of the training answers.",
        "adapter",
        advanced=True,
    )

    # -- tokens, seed ---------------------------------------------------------------------------------------------

    loss_on: Literal["assistant", "last", "all"] = option(
        "assistant", "Tokens that are trained: every assistant turn, the last one, or all.", "data"
    )
    assistant_only_loss: bool | None = option(
        None, "As trl says it: true is loss_on=assistant, false is loss_on=all.", "data", advanced=True
    )
    on_template_drop: Literal["auto", "refuse", "leave_out", "bundled"] = option(
        "auto",
        "Where the model's chat template does not write a part of a row (system text, text beside a tool call, reasoning): "
        "refuse leaves the row out, leave_out trains the rest of it, bundled has a bundled template write it; auto refuses "
        "lost text and leaves out reasoning and names. Everything is counted.",
        "data",
        advanced=True,
    )
    seed: int = option(3407, "Seeds adapter initialisation, data order and dropout.", "runtime", advanced=True, ge=0)

    # -- curves, evaluation, samples ------------------------------------------------------------------------------

    logging_steps: int = option(
        1, "Steps between two points of the curves.", "evaluation", advanced=True, ge=1, unit="steps"
    )
    eval_steps: int | float | None = option(
        None,
        "Steps between evaluations; below 1 a share of the run; empty means four times in a run.",
        "evaluation",
        gt=0,
        unit="steps",
    )
    sample_prompts: tuple[str, ...] = option(
        (),
        "Prompts answered at each evaluation; empty takes three from the evaluation data.",
        "evaluation",
        advanced=True,
    )
    sample_max_new_tokens: int = option(
        48, "Longest sampled answer; 0 turns samples off.", "evaluation", advanced=True, ge=0, unit="tokens"
    )
    early_stopping_patience: int | None = option(
        None, "Stop after this many evaluations without improvement.", "evaluation", ge=1, unit="evaluations"
    )
    early_stopping_threshold: float = option(
        0.0, "Improvement of the evaluation loss that counts.", "evaluation", advanced=True, ge=0
    )

    # -- checkpoints ----------------------------------------------------------------------------------------------

    save_steps: int | None = option(
        None, "Steps between checkpoints; empty means four times in a run.", "saving", ge=1, unit="steps"
    )
    save_total_limit: int = option(2, "Newest checkpoints to keep.", "saving", advanced=True, ge=1)
    load_best_model_at_end: bool = option(
        False, "End with the checkpoint of the lowest evaluation loss instead of the last.", "saving"
    )
    resume_from_checkpoint: str | None = option(
        None,
        "Checkpoint folder (or run id) to start from, optimizer state included; rates and schedule are the new run's.",
        "saving",
        advanced=True,
    )

    # -- the machine, trackers ------------------------------------------------------------------------------------

    gradient_checkpointing: Literal["auto", "on", "off"] = option(
        "auto", "Recompute activations to save memory; auto only where they would not fit.", "memory", advanced=True
    )
    executor: str = option(
        "auto",
        "Where training runs: a thread of this process, or a worker process that survives the kernel.",
        "runtime",
        registered="executor",
    )
    report_to: tuple[str, ...] = option(
        (),
        "Trackers known to transformers (trackio, tensorboard, mlflow, wandb); none by default.",
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
