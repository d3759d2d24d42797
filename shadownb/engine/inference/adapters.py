"""Adapters by name: what tells one from all others, and where one is that may answer beside the trained state of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class AdapterId:
    """What tells an adapter from all others.

    Attributes
    ----------
    run, step
        Which run made it, and at which step; None for one from elsewhere.
    revision
        sha256 of its content: of the files, or of the tensors, with what describes them. Two adapters of one run and step have
        two of them where an attempt went back and came to the step again.
    """

    run: str | None
    step: int | None
    revision: str

    def __str__(self) -> str:
        made = f"step {self.step} of run {self.run}, " if self.run is not None else ""
        return f"{made}revision {self.revision[:12]}"


@dataclass(frozen=True)
class AdapterSource:
    """An adapter that is not on the model: in a folder, or as tensors in memory. Two are equal where their identity is.

    Attributes
    ----------
    name
        What it is called in messages.
    folder
        Where its files are; None for tensors.
    tensors
        By the names that a file of such an adapter has for them (peft's, without the adapter's own name).
    description
        What the JSON beside such a file says of them (peft's ``adapter_config.json``).
    """

    id: AdapterId
    name: str = field(compare=False)
    folder: Path | None = field(default=None, compare=False)
    tensors: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    description: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_tensors(
        cls,
        tensors: Mapping[str, Any],
        description: Mapping[str, Any],
        *,
        run: str | None = None,
        step: int | None = None,
    ) -> AdapterSource:
        """Make one of tensors, which must not change afterwards; hashing them copies each to the CPU once.

        ``run`` and ``step`` say what they are a state of.
        """
        digest = hashlib.sha256(json.dumps(dict(description), sort_keys=True, default=str).encode())
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            digest.update(_numbers(tensor).tobytes())
        made = AdapterId(run, step, digest.hexdigest())
        return cls(made, f"tensors of {made}", tensors=tensors, description=description)


def _numbers(tensor: Any) -> np.ndarray[Any, Any]:
    """Return an array, or a tensor of a framework that has ``detach``, as numpy's; 64 bits hold the numbers of all formats."""
    import numpy as np

    return np.asarray(tensor.detach().cpu().double() if hasattr(tensor, "detach") else tensor)
