"""MethodSpec: what a training method is, as data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

GROUPS: dict[str, str] = {
    "adapter": "Adapters",
    "full": "The model's own weights",
    "prompt": "Learned prompts",
    "pretraining": "New knowledge from text",
    "preference": "Preferences",
    "rl": "Reinforcement learning",
    "teacher": "Teachers",
    "memory": "Memory",
}

ANSWERED_FORMATS = ("chat", "sharegpt", "instruction", "prompt_completion")  # each row has a question and its answer
SUPERVISED_FORMATS = (*ANSWERED_FORMATS, "text")
QUESTION_FORMATS = ("prompt", *ANSWERED_FORMATS)  # each row has a question


@dataclass(frozen=True)
class MethodSpec:
    """A training method: a declaration of what is trained, with which loss, on which rows.

    Attributes
    ----------
    adapter
        What is trained; a model has one at a time. ``lora``: low-rank adapters; ``layers``: another peft tuner on the linear
        layers; ``prompt``: learned embeddings; ``bias``: the biases; ``bottleneck``: small networks after the blocks;
        ``weights``: the base itself; ``facts``: an expert per fact, chosen by the question;
        ``reader``: facts that are read token by token; ``reward``: low-rank adapters with a head that gives a number.
    objective
        The loss, by its name in the registry: ``sft`` (next-token loss on the trained tokens), ``dpo`` (pairs), ``kto``
        (labelled answers), or your own.
    tuner
        peft's name for the type of adapter, if there are several of one kind.
    options
        Values for peft's config, as (name, value).
    defaults
        Options of TrainConfig that have another default with this method, as (name, value).
    long_rows
        What happens to rows longer than ``max_length``: ``cut``, or ``split`` into sequences without losing a token.
    quantized_base
        True: needs a quantised base; False: cannot use one; None: both work.
    fields
        Options of TrainConfig that only methods with this adapter use; its objective adds its own.
    guest
        Name of the package that trains it in its own loop (``trl``); empty for ShadowNB's loop. The objective then only
        says what rows look like; loss and options are those of the guest.
    guest_trainer
        The guest's name for the trainer.
    rate_source
        Where the default learning rate comes from: a paper, another library, or a measurement.
    when_not
        When not to use it: sentences with the reason and a better method, for the method's page.

    Examples
    --------
    >>> spec = snb.methods.get("lora")
    >>> spec.title, spec.adapter, spec.objective, spec.default_learning_rate
    ('LoRA', 'lora', 'sft', 0.0005)
    >>> spec.changes_base_weights, snb.methods.get("full").changes_base_weights
    (False, True)
    >>> spec.to_dict()["name"]
    'lora'
    """

    name: str
    title: str
    group: str
    hint: str
    data_shape: str
    default_learning_rate: float
    rate_source: str
    adapter: Literal["lora", "layers", "prompt", "bias", "bottleneck", "weights", "facts", "reader", "reward"] = "lora"
    objective: str = "sft"
    tuner: str = "LORA"
    long_rows: Literal["cut", "split"] = "cut"
    data_formats: tuple[str, ...] = SUPERVISED_FORMATS
    quantized_base: bool | None = None
    fields: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    guest: str = ""
    guest_trainer: str = ""
    when_not: tuple[str, ...] = field(default=(), compare=False)  # words, which change nothing of what is trained

    @property
    def changes_base_weights(self) -> bool:
        """Whether the base itself is trained, so that comparing with it needs a second copy."""
        return self.adapter == "weights"

    def replace(self, **changes: Any) -> MethodSpec:
        """Return a copy with some values changed, for example to register a variant.

        Examples
        --------
        >>> wide = snb.methods.get("lora").replace(name="wide", title="Wide LoRA", defaults=(("lora_r", 64),))
        >>> wide.name, wide.defaults
        ('wide', (('lora_r', 64),))
        """
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as values that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MethodSpec:
        """Return the spec that :meth:`to_dict` wrote; fields this version does not know are left out.

        Examples
        --------
        >>> spec = snb.methods.get("dpo")
        >>> snb.MethodSpec.from_dict(spec.to_dict()) == spec
        True
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: _frozen(value) for name, value in content.items() if name in known}
        return cls(**values)

    def unfit(self, data_format: str | None) -> str | None:
        """Return why data of this format cannot be trained with the method, or None if it can.

        Examples
        --------
        >>> print(snb.methods.get("dpo").unfit("chat"))
        dpo needs preference pairs (prompt, chosen, rejected); this data is chat
        >>> print(snb.methods.get("dpo").unfit("preference"))
        None
        """
        if data_format is not None and data_format not in self.data_formats:
            return f"{self.name} needs {self.data_shape}; this data is {data_format}"
        return None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
