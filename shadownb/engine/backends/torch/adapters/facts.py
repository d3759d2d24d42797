"""A memory of facts: each has low-rank factors beside the last block's feed-forward output, and a question says whose are added.

No weight is changed. A row of a batch whose question asks for nothing that is stored is left as it is, bit for bit; another has
``scale * B(A x)`` of its own expert added. The factors lie one behind the other in a file that is mapped into memory, so a
memory of ten thousand takes what the asked ones take.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.places import output_place
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block
from shadownb.engine.backends.torch.adapters.stored import StoredAdapter
from shadownb.engine.embedding import embedder
from shadownb.engine.routing import Route, Router, Unit
from shadownb.engine.routing.units import Fact
from shadownb.errors import ExportError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

Factors = tuple[torch.Tensor, torch.Tensor]


class Stored(NamedTuple):
    """What a memory holds: facts, their experts, and those that are being learned."""

    units: dict[str, Unit]
    experts: dict[str, Factors]
    learning: dict[str, tuple[Unit, Factors]]


class _Branch:
    """The hook that adds what the experts of the rows say; a copy of the module tree keeps it to have it taken off."""

    def __init__(self, adapter: FactsAdapter) -> None:
        self.adapter = adapter

    def __deepcopy__(self, memo: dict[int, Any]) -> _Branch:
        return self

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        return self.adapter.added(inputs[0], output)


class FactsAdapter(StoredAdapter):
    """Experts by fact on the output of the last block's feed-forward network.

    Attributes
    ----------
    units
        The facts, in the order in which they were learned.
    """

    kind = "facts"
    grows = True
    noun = "a memory of facts"
    stem = "facts"

    def __init__(self, module: Any, base_name: str, rank: int, alpha: int) -> None:
        super().__init__(module, base_name)
        self.rank, self.alpha = rank, alpha
        self.name, self.place = output_place(module)
        self._experts: dict[str, Factors] = {}
        self._units: dict[str, Unit] = {}
        self._learning: dict[
            str, tuple[Unit, Factors]
        ] = {}  # experts that have not had all their steps; they answer nothing
        self._vectors: dict[Fact, Any] = {}  # (3, width) of each fact, by which it is found
        self._router: Router | None = None
        self.log: list[dict[str, Any]] = []
        self._rows: list[str | None] | None = None  # whose expert each row of the batch has; None adds nothing at all
        self._hook = self.place.register_forward_hook(_Branch(self))

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        output_place(base, config.method)

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        name, _ = output_place(base, config.method)
        return Reach(f"an expert of rank {config.lora_r} for each fact, beside {name}", (("the whole model", ""),))

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        _, place = output_place(base, config.method)
        return int(config.lora_r * (place.in_features + place.out_features))

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        return Kept(frozen_block(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        return cls(base, start.base_name, config.lora_r, config.lora_alpha)

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        for module in base.modules():
            for number, hook in list(module._forward_hooks.items()):
                if isinstance(hook, _Branch):
                    del module._forward_hooks[number]

    @classmethod
    def made_like(cls, base: Any, content: dict[str, Any]) -> StoredAdapter:
        return cls(base, content.get("base_model", ""), int(content["rank"]), int(content["alpha"]))

    def shape(self) -> dict[str, Any]:
        return {"lora_r": self.rank, "lora_alpha": self.alpha}

    def owned(self) -> dict[str, nn.Parameter]:
        every = {**self._experts, **{unit: factors for unit, (_, factors) in self._learning.items()}}
        sides = zip(("down", "up"), zip(*every.values(), strict=True), strict=True) if every else ()
        return {
            f"{unit}.{side}": nn.Parameter(tensor, requires_grad=False)
            for side, tensors in sides
            for unit, tensor in zip(every, tensors, strict=True)
        }

    def unfreeze(self, config: TrainConfig) -> None:
        self.module.requires_grad_(False)

    # -- the facts --------------------------------------------------------------------------------------------------

    @property
    def scale(self) -> float:
        """What an expert's sum is multiplied with."""
        return self.alpha / self.rank

    @property
    def units(self) -> list[Unit]:
        return list(self._units.values())

    def factors(self, unit: str) -> Factors:
        """Return the factors of a unit: (rank, inner) and (hidden, rank)."""
        return self._experts[unit]

    @property
    def learning(self) -> list[Unit]:
        """The units whose experts have not had all their steps."""
        return [unit for unit, _ in self._learning.values()]

    def being_learned(self, unit: str) -> Factors:
        """Return the factors of a unit that is being learned."""
        return self._learning[unit][1]

    def begin(self, experts: Sequence[tuple[Unit, Factors]]) -> None:
        """Hold experts that are being trained, in the place of those that were; what is stored answers meanwhile."""
        self._learning = {unit.id: (unit, factors) for unit, factors in experts}

    def learned(self) -> None:
        """Store the experts that were being trained, as the newest; facts that answer the same questions are gone with it."""
        for unit, (down, up) in self._learning.values():
            for fact in unit.facts:
                self.forget(fact.question)
            self._units[unit.id], self._experts[unit.id] = unit, (down.clone(), up.clone())
        self._learning, self._router = {}, None

    def forget(self, question: str) -> None:
        """Take the fact with a question away, and its expert with the last fact of it."""
        for unit in self.units:
            others = tuple(fact for fact in unit.facts if fact.question != question)
            if len(others) == len(unit.facts):
                continue
            self._router = None
            if others:
                self._units[unit.id] = Unit(others, unit.id)
            else:
                del self._units[unit.id], self._experts[unit.id]

    def kept_state(self) -> Stored:
        """Return what is stored, for :meth:`put_back`."""
        return Stored(dict(self._units), dict(self._experts), dict(self._learning))

    def nothing(self) -> Stored:
        """Return what :meth:`kept_state` returns of a memory without facts."""
        return Stored({}, {}, {})

    def cite(self, sources: dict[str, str]) -> None:
        """Say where facts are from, by their questions."""
        for number, unit in self._units.items():
            facts = tuple(replace(fact, source=sources.get(fact.question, fact.source)) for fact in unit.facts)
            self._units[number] = Unit(facts, unit.id)
        self._router = None

    def holds(self, kept: Stored) -> bool:
        """Return whether exactly that is stored, and nothing is half learned."""
        same = list(self._units.items()) == list(kept.units.items()) and not self._learning
        return same and all(self._experts[unit] is kept.experts[unit] for unit in kept.units)

    def put_back(self, kept: Stored) -> None:
        """Store exactly what was stored then."""
        self._units, self._experts, self._learning = dict(kept.units), dict(kept.experts), dict(kept.learning)
        self._router = None

    # -- found ------------------------------------------------------------------------------------------------------

    @property
    def router(self) -> Router:
        """Finds the unit that a question asks for; made anew where facts have changed."""
        if self._router is None:
            self._router = Router(self.units, by=embedder(), vectors=self._known_vectors())
        return self._router

    def route(self, question: str) -> Route:
        """Return which unit a question asks for, and why."""
        return self.router.route(question)

    def sources(self, question: str) -> list[str]:
        """Return where the facts are from that answer a question."""
        found = self.route(question)
        return [each.fact.source for each in found.candidates[:1] if found.units and each.fact.source]

    def _known_vectors(self) -> Any:
        """Return the vectors of all facts, those of new ones made now."""
        import numpy as np

        facts = [fact for unit in self.units for fact in unit.facts]
        new = [fact for fact in facts if fact not in self._vectors]
        if new:
            made = Router.vectors_of(new, embedder())
            self._vectors |= {fact: made[:, number] for number, fact in enumerate(new)}
        found = [self._vectors[fact] for fact in facts]
        return np.stack(found, axis=1) if found else np.zeros((3, 0, embedder().width), dtype=np.float32)

    # -- answers ----------------------------------------------------------------------------------------------------

    def knows(self, question: str) -> bool:
        """Return whether an expert answers a question; otherwise the base does."""
        return bool(self.route(question).units)

    @contextlib.contextmanager
    def routed(self, questions: Sequence[str]) -> Iterator[None]:
        """Have the rows of a batch answered by the experts that their questions ask for."""
        router = self.router
        units = router.units
        rows = [units[found.units[0]].id if found.units else None for found in map(router.route, questions)]
        with self.speaking(rows):
            yield

    @contextlib.contextmanager
    def speaking(self, rows: Sequence[str | None]) -> Iterator[None]:
        """Add the expert of one unit, or none, to each row of a batch."""
        before, self._rows = self._rows, list(rows) if any(rows) else None
        try:
            yield
        finally:
            self._rows = before

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        with self.speaking(()):
            yield

    def added(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return the output of the place with what the rows' experts add; None where they add nothing.

        Parameters
        ----------
        x, output
            Shapes (rows, tokens, inner) and (rows, tokens, hidden); or one row for all, with a token for each.
        """
        rows = self._rows
        if rows is None:
            return None
        by_token = x.shape[0] == 1 and len(rows) > 1
        assert (x.shape[1] if by_token else x.shape[0]) == len(rows), (
            "the batch has other rows than those that were routed"
        )
        whole = output.clone()
        for number, unit in enumerate(rows):
            if unit is not None:
                down, up = (side.to(x.device) for side in self._experts[unit])
                part = (0, slice(number, number + 1)) if by_token else (number,)
                added = (x[part].float() @ down.T) @ up.T * self.scale
                whole[part] = (output[part].float() + added).to(output.dtype)
        return whole

    # -- kept -------------------------------------------------------------------------------------------------------

    def described(self) -> dict[str, Any]:
        return {
            **super().described(), "rank": self.rank, "alpha": self.alpha, "place": self.name, "embedder": embedder().id,
            "units": [unit.to_dict() for unit in self.units], "log": self.log,
            **({"learning": [unit.to_dict() for unit in self.learning]} if self._learning else {}),
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        tensors = {"vectors": torch.from_numpy(self._known_vectors())}
        every = [*self._experts.values(), *(factors for _, factors in self._learning.values())]
        if every:
            for side, each in zip(("down", "up"), zip(*every, strict=True), strict=True):
                tensors[side] = torch.stack([tensor.detach().cpu() for tensor in each])
        save_file(tensors, self._tensors(folder))
        self.description(folder).write_text(json.dumps(self.described()), encoding="utf-8")

    def load_into(self, folder: Path) -> None:
        content, tensors = self.read_description(folder), self.read_tensors(folder)
        try:
            units, learning = (
                [Unit.from_dict(each) for each in content.get(name, [])] for name in ("units", "learning")
            )
            same_embedder, log = content["embedder"] == embedder().id, list(content.get("log", []))
        except (KeyError, TypeError, AttributeError) as error:
            raise self.unreadable(folder, error) from error
        count = len(units) + len(learning)
        facts = [fact for unit in units for fact in unit.facts]
        shapes: dict[str, tuple[int, ...]] = {"vectors": (3, len(facts), embedder().width)} if same_embedder else {}
        if count:
            shapes |= {
                "down": (count, self.rank, self.place.in_features),
                "up": (count, self.place.out_features, self.rank),
            }
        if any(name not in tensors or tuple(tensors[name].shape) != shape for name, shape in shapes.items()):
            raise ModelError(f"The facts in {folder} do not fit this model.")
        sides = list(zip(tensors["down"], tensors["up"], strict=True)) if count else []
        self.log = log
        self._units = {unit.id: unit for unit in units}
        self._experts = dict(zip(self._units, sides, strict=False))
        self._learning = {unit.id: (unit, each) for unit, each in zip(learning, sides[len(units) :], strict=True)}
        self._vectors, self._router = {}, None
        if same_embedder:  # of another embedder they are made anew
            self._vectors = dict(zip(facts, tensors["vectors"].numpy().transpose(1, 0, 2), strict=True))

    def remove(self) -> Any:
        self._hook.remove()
        return self.module

    def merged(self) -> Any:
        raise ExportError(
            "fmt='merged': what is added for a fact depends on the question, which merged weights do not know.",
            fix="Use fmt='adapter'; shadownb.load(path) has the facts again.",
        )
