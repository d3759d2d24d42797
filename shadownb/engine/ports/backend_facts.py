"""What a backend says of itself and of a machine, as values: its devices, what it has no choice in, what a training costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shadownb.engine.ports.reach import Reach


@dataclass(frozen=True)
class Device:
    """One place where a model can be trained."""

    kind: str
    name: str
    memory_gb: float
    free_memory_gb: float
    usable: bool
    reason: str


@dataclass(frozen=True)
class Choices:
    """What a backend has no choice in, each with its reason; None leaves it to the engine, which decides from facts.

    Attributes
    ----------
    attention
        The attention kernel.
    optimizer
        What ``optim="auto"`` is.
    kernels
        Whether norms and activations are fused by kernels of another package.
    own_kernels
        Whether the backend may compute parts of a model in faster ways of its own.
    """

    attention: tuple[str, str] | None = None
    optimizer: tuple[str, str] | None = None
    kernels: tuple[bool, str] | None = None
    own_kernels: tuple[bool, str] | None = None


@dataclass(frozen=True)
class KernelTrial:
    """How fast a backend's own ways of computing are on this machine.

    Attributes
    ----------
    where
        The kind of processor and number format, in words.
    on
        Those that training takes here.
    speeds
        How many times as fast as the plain way each is.
    slower
        Those that are on and lose.
    """

    where: str
    on: tuple[str, ...]
    speeds: Mapping[str, float]
    slower: tuple[str, ...]


@dataclass(frozen=True)
class Costs:
    """What memory and time of a training are counted from.

    Attributes
    ----------
    trainable
        How many numbers are trained.
    reach
        What is trained, and what stays frozen and why.
    kept_per_token
        Numbers that a block keeps of each token for the backward pass.
    kept_fixed
        Numbers kept as often as there are layers to adapt, whatever the rows.
    layers, hidden, vocabulary
        Sizes of the model.
    computed
        How many weights every token meets: not the experts that others read, nor embeddings that are looked up.
    kept_bytes
        Bytes that a kept number takes, in the mean of all of them.
    logits_at_once
        For how many trained tokens logits stand at the same time where the accelerator may be used; None is all of a pass.
    logits_copies
        How often they stand there, in 32 bits, where the accelerator may be used; None is as often as plain operations have them.
    speedup
        How many times as fast as with plain operations a step is where the accelerator may be used.
    """

    trainable: int
    reach: Reach
    kept_per_token: int
    kept_fixed: int
    layers: int
    hidden: int
    vocabulary: int
    computed: int
    kept_bytes: float = 4.0
    logits_at_once: int | None = None
    logits_copies: int | None = None
    speedup: float = 1.0
