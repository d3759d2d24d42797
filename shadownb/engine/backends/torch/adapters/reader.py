"""A memory that is read: of each answer token is kept what the model saw before it, and an answer is read off token by token.

A fact is stored by one look at it: what a block at four fifths of the depth gives where each token of the answer is to come, and
that token. A row that asks for the fact is always at some place of the answer, the one that its own hidden state is nearest to; the
token there is said with a probability of 0.99. So adding a fact trains nothing. One small projection is trained, on the facts at
hand: in other wordings each place is to be found by its own state.

Whether a fact is asked for at all, the router decides by the question. Nothing is changed before the logits, so keys and values of
a conversation are the base's, and a row that asks for nothing stored is the base's row bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import normalize

from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.memory import Hook, MemoryAdapter, Tensors
from shadownb.engine.backends.torch.adapters.places import blocks_of
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block, hidden_size
from shadownb.engine.backends.torch.adapters.stored import StoredAdapter
from shadownb.engine.routing import Unit
from shadownb.engine.seeds import derived_seed
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

_DEPTH = 0.8  # of 30 blocks 24 told places of six facts apart best (16: 45 of 60 answers whole, 24: 55, 30: 51)
SHARP = 20.0  # what cosines are multiplied with
_SAID = 0.99  # probability of what is read
_PROJECTED = 512  # facts whose keys are kept as they are compared
_PARTS = ("down", "up", "centre")


class Reader(nn.Module):
    """Makes of a hidden state what is compared: a direction from the mean of all, with a low-rank change that is trained.

    Attributes
    ----------
    centre
        The mean direction of the first states that were stored, shape (hidden,); not a number until then.
    """

    centre: torch.Tensor

    def __init__(self, hidden: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(derived_seed(seed, "reader") % 2**63)
        self.down = nn.Parameter(torch.randn(rank, hidden, generator=drawn) / hidden**0.5)
        self.up = nn.Parameter(torch.zeros(hidden, rank))
        self.register_buffer("centre", torch.full((hidden,), float("nan")))

    @property
    def fresh(self) -> bool:
        """Whether nothing was stored yet."""
        return bool(self.centre.isnan().any())

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Return unit vectors of directions, both of shape (n, hidden)."""
        apart = (directions.float() - self.centre) * directions.shape[-1] ** 0.5
        return normalize(apart + (apart @ self.down.T) @ self.up.T, dim=-1)


class _Look(Hook):
    """Keeps what the block gives while rows are answered from memory."""

    adapter: ReaderAdapter

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        if self.adapter._rows is not None:
            self.adapter.seen = output[0] if isinstance(output, tuple) else output


class _Say(Hook):
    """Mixes what is read into the logits."""

    adapter: ReaderAdapter

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        return self.adapter.said(output)


class ReaderAdapter(MemoryAdapter):
    """Facts as states (answer tokens, hidden) in 16 bits and those tokens, and one reader of all.

    Attributes
    ----------
    reader
        Its parameters are what is trained.
    seen
        What the block gave in the pass that is computed.
    """

    kind = "reader"
    noun = "a memory that is read"
    stem = "reader"
    sides = ("keys", "tokens")
    trains_facts = False

    def __init__(self, module: Any, base_name: str, rank: int, seed: int = 0) -> None:
        super().__init__(module, base_name)
        self.rank = rank
        device = next(module.parameters()).device
        self.reader = Reader(hidden_size(module), rank, seed).to(device)
        self.reader.requires_grad_(False)
        self.seen: torch.Tensor | None = None
        self._projected: dict[str, Tensors] = {}
        self.name, self.block = reading_place(module)
        head: Any = module.get_output_embeddings()
        self._hooks = [self.block.register_forward_hook(_Look(self)), head.register_forward_hook(_Say(self))]

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        reading_place(base, config.method)

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        name, _ = reading_place(base, config.method)
        return Reach(
            f"one projection of rank {config.lora_r}, by which states of {name} are compared",
            (("the whole model", ""),),
        )

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        return int(2 * config.lora_r * hidden_size(base))

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        return Kept(frozen_block(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        return cls(base, start.base_name, config.lora_r, config.seed)

    @classmethod
    def made_like(cls, base: Any, content: dict[str, Any]) -> StoredAdapter:
        return cls(base, content.get("base_model", ""), int(content["rank"]))

    def shape(self) -> dict[str, Any]:
        return {"lora_r": self.rank}

    def owned(self) -> dict[str, nn.Parameter]:
        parts = {f"reader.{name}": getattr(self.reader, name).detach() for name in _PARTS}
        stored = zip(self._tensors_of, self._tensors_of.values(), strict=True)
        parts |= {f"{unit}.{side}": each for unit, pair in stored for side, each in zip(self.sides, pair, strict=True)}
        return {name: nn.Parameter(tensor, requires_grad=False) for name, tensor in parts.items()}

    # -- stored -----------------------------------------------------------------------------------------------------

    def has(self, unit: Unit) -> bool:
        """Return whether exactly these facts are stored."""
        return unit.id in self._units

    def put(self, unit: Unit, states: torch.Tensor, tokens: torch.Tensor) -> None:
        """Store a unit by the directions of its answer's states, shape (n, hidden), and its tokens, shape (n,)."""
        for fact in unit.facts:
            self.forget(fact.question)
        self._units[unit.id], self._router = unit, None
        self._tensors_of[unit.id] = (states.to(torch.float16).cpu(), tokens.cpu())

    def keys(self, unit: str) -> torch.Tensor:
        """Return the directions that are stored of a unit, shape (n, hidden)."""
        return self._tensors_of[unit][0].to(self.reader.down.device)

    def changed(self) -> None:
        """Forget how keys are compared, because the reader has moved."""
        self._projected.clear()

    def _compared(self, unit: str) -> Tensors:
        if unit not in self._projected:
            if len(self._projected) >= _PROJECTED:
                self._projected.clear()
            with torch.no_grad():
                self._projected[unit] = (
                    self.reader(self.keys(unit)),
                    self._tensors_of[unit][1].to(self.reader.down.device),
                )
        return self._projected[unit]

    def beside(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self.reader, name).detach().clone() for name in _PARTS}

    def put_beside(self, kept: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name in _PARTS:
                getattr(self.reader, name).copy_(kept[name])
        self.changed()

    def put_back(self, kept: Any) -> None:
        super().put_back(kept)
        self.changed()

    # -- answers ----------------------------------------------------------------------------------------------------

    def said(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Return logits with what is read for each row mixed in; None where nothing is.

        Parameters
        ----------
        logits
            Of the last tokens of each row, shape (rows, tokens, vocabulary); or of one sequence, a token for each row.
        """
        seen, self.seen = self.seen, None
        if self._rows is None or seen is None:
            return None
        found = logits.float()
        kept, one_each = logits.shape[1], self._at is not None or (seen.shape[0] == 1 and len(self._rows) > 1)
        for number, (unit, sequence, tokens) in self._numbered(seen):
            asked = seen[sequence, tokens][-kept:] if not one_each else seen[sequence, tokens]
            place = (0, slice(number, number + 1)) if one_each else (number, slice(0, kept))
            keys, ids = self._compared(unit)
            cosines = self.reader(normalize(asked.float(), dim=-1)) @ keys.T
            mixed = found[place].softmax(-1) * (1 - _SAID)
            mixed.index_add_(1, ids, (cosines * SHARP).softmax(-1) * _SAID)
            found[place] = mixed.clamp_min(torch.finfo(torch.float32).tiny).log()
        return found

    def _numbered(self, seen: torch.Tensor) -> list[tuple[int, tuple[str, int, slice]]]:
        numbers = [number for number, unit in enumerate(self._rows or []) if unit is not None]
        return list(zip(numbers, self.places(seen.shape[0], seen.shape[1]), strict=True))

    # -- kept -------------------------------------------------------------------------------------------------------

    def packed(self, tensors: Sequence[Tensors]) -> dict[str, torch.Tensor]:
        hidden = self.reader.down.shape[1]
        return {
            "keys": torch.cat([torch.empty(0, hidden, dtype=torch.float16), *(keys for keys, _ in tensors)]),
            "tokens": torch.cat([torch.empty(0, dtype=torch.int64), *(tokens for _, tokens in tensors)]),
            "lengths": torch.tensor([len(tokens) for _, tokens in tensors], dtype=torch.int64),
            **{f"reader.{name}": tensor.cpu() for name, tensor in self.beside().items()},
        }

    def unpacked(self, tensors: dict[str, torch.Tensor], count: int) -> list[Tensors] | None:
        hidden = self.reader.down.shape[1]
        if not {"keys", "tokens", "lengths", *(f"reader.{name}" for name in _PARTS)} <= set(tensors):
            return None
        keys, tokens, lengths = (tensors[name] for name in ("keys", "tokens", "lengths"))
        whole = (
            len(lengths) == count and int(lengths.sum()) == len(tokens) and tuple(keys.shape) == (len(tokens), hidden)
        )
        if not whole or any(tensors[f"reader.{name}"].shape != getattr(self.reader, name).shape for name in _PARTS):
            return None
        sizes = lengths.tolist()
        return list(zip(torch.split(keys, sizes), torch.split(tokens, sizes), strict=True)) if count else []  # type: ignore[no-untyped-call]

    def load_into(self, folder: Path) -> None:
        super().load_into(folder)
        tensors = self.read_tensors(folder)
        self.put_beside({name: tensors[f"reader.{name}"] for name in _PARTS})

    def described(self) -> dict[str, Any]:
        return {**super().described(), "rank": self.rank, "place": self.name}


def reading_place(base: Any, method: str = "more") -> tuple[str, nn.Module]:
    """Return the block whose output is compared, and its name.

    Raises
    ------
    MethodError
        The model has no blocks in a list, or no output embeddings.
    """
    try:
        name, blocks = blocks_of(base)
    except ModelError as error:
        raise MethodError(f"method={method!r}: {error.what}", fix="Use method='lora' on this model.") from error
    if base.get_output_embeddings() is None:
        raise MethodError(
            f"method={method!r}: {type(base).__name__} has no output embeddings.",
            fix="Use a model that generates text.",
        )
    number = max(0, round(_DEPTH * len(blocks)) - 1)
    return f"{name}.{number}", blocks[number]
