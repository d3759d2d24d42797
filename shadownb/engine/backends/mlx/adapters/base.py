"""Adapter: what a method adds to a model or moves, and how that is saved, put back and merged.

It stands on a twin of the base (:mod:`..twin`), so that taking it off is letting go of the twin. Its files are those of the torch
backend (peft's for LoRA), so that what one has trained the other loads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import mlx.core as mx
import numpy as np
from mlx import nn

from shadownb.engine.backends.mlx.loading import Files
from shadownb.engine.backends.texts import not_mergeable, other_kind, other_shape
from shadownb.engine.ports.reach import Reach
from shadownb.errors import ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

Arrays = dict[str, Any]
Slots = dict[str, tuple[nn.Module, str]]  # where each trained array is: the module that has it, and its name there


@dataclass(frozen=True)
class Base:
    """What an adapter is put on, or would be.

    Attributes
    ----------
    module
        A twin of the base that is the adapter's own, or the base where nothing is put on.
    files
        What lies on the disk of the base.
    name
        Its name on any machine, kept in what is saved.
    """

    module: Any
    files: Files
    name: str = ""

    @property
    def quantized(self) -> bool:
        """Whether some of its layers hold their weights in fewer than 16 bits."""
        return any(isinstance(m, nn.QuantizedLinear) for _, m in self.module.named_modules())

    def kept_as(self, name: str, array: Any) -> bool:
        """Return whether the files have a weight by the name and in the shape that mlx-lm's model has it."""
        return self.files.shapes.get(name) == tuple(array.shape)


class Adapter:
    """One trained state on one twin of the base.

    Attributes
    ----------
    base
        The twin, with the adapter on it.
    slots
        Where each trained array is, by name, in a fixed order.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]  # as in "this model carries ..."
    replaces_base: ClassVar[bool] = False
    separate: ClassVar[bool] = True

    def __init__(self, base: Base, slots: Slots) -> None:
        self.base = base
        self.slots = dict(sorted(slots.items()))

    @property
    def module(self) -> Any:
        """The model with the adapter on it."""
        return self.base.module

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where this base cannot carry the adapter."""

    @classmethod
    def count(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> int:
        """Return how many numbers the adapter would train."""
        raise NotImplementedError

    @classmethod
    def reach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Reach:
        """Return what the adapter trains on this base, and what stays frozen."""
        raise NotImplementedError

    @classmethod
    def attach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Adapter:
        """Put a new adapter on a twin."""
        raise NotImplementedError

    @classmethod
    def reads(cls, folder: Path) -> bool:
        """Return whether a folder holds a saved adapter of this kind."""
        raise NotImplementedError

    @classmethod
    def attach_saved(cls, base: Base, folder: Path) -> Adapter:
        """Put a saved adapter on a twin."""
        raise NotImplementedError

    # -- trained ----------------------------------------------------------------------------------------------------

    def owned(self) -> Arrays:
        """Return the trained arrays by name."""
        return {name: owner[key] for name, (owner, key) in self.slots.items()}

    def put(self, arrays: Mapping[str, Any]) -> None:
        """Put arrays in the place of those of the same names."""
        for name, array in arrays.items():
            owner, key = self.slots[name]
            owner[key] = array

    def fill(self, arrays: Mapping[str, Any], folder: Path) -> None:
        """Put arrays that were read from a folder there. Raises ModelError where they do not fit."""
        have = self.owned()
        unlike = [n for n in sorted({*have, *arrays}) if n not in have or n not in arrays]
        unlike += [n for n in sorted(have) if n in arrays and have[n].shape != arrays[n].shape]
        if unlike:
            raise ModelError(f"The {self.noun} in {folder} do not fit this model: {unlike[0]}.")
        self.put({name: array.astype(have[name].dtype) for name, array in arrays.items()})

    def shape(self) -> dict[str, Any]:
        """Return the options that what is there has fixed, with their values."""
        return {}

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where a method or its options do not fit what is there."""
        if spec.adapter != self.kind:
            raise other_kind(config.method, self.noun)
        for option, value in self.shape().items():
            if option in config.model_fields_set and getattr(config, option) != value:
                raise other_shape(option, getattr(config, option), self.noun, value)

    def begin(self, config: TrainConfig) -> None:
        """Take over the options of a training that may differ from those of the one before."""

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        """Return the config with the settings that the adapter really has."""
        shape = self.shape()
        return config.replace(**shape) if shape else config

    def reached(self, config: TrainConfig, spec: MethodSpec) -> Reach:
        """Return what training on would train, and what stays frozen."""
        return self.reach(self.base, self.effective_config(config), spec)

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the adapter so that it loads on its own."""
        raise NotImplementedError

    def load_into(self, folder: Path) -> None:
        """Read saved arrays into this adapter. Raises ModelError where they do not fit."""
        raise NotImplementedError

    def merged(self, twin: Any) -> Any:
        """Return a plain model that has the trained state in its own weights, made of a twin of the base."""
        raise not_mergeable(self.kind)


def digest(arrays: Mapping[str, Any]) -> str:
    """Return the sha256 over names, formats, shapes and bytes of arrays."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        sha.update(as_bytes(array))
    return sha.hexdigest()


def as_bytes(array: Any) -> bytes:
    """Return the bytes of an array; numpy has no bf16."""
    return np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array).tobytes()
