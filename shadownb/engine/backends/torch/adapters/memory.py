"""A memory of facts on a model: what is stored of each, which are asked for, and the two files that keep it.

No weight of the base is changed. :mod:`.facts` keeps an expert of each fact (method ``more_plus``), :mod:`.reader` what was seen of
each (method ``more``).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from shadownb.engine.backends.torch.adapters.stored import StoredAdapter
from shadownb.engine.embedding import embedder
from shadownb.engine.routing import Route, Router, Unit
from shadownb.engine.routing.keys import VECTORS
from shadownb.engine.routing.units import Fact
from shadownb.errors import ExportError, ModelError

Tensors = tuple[torch.Tensor, torch.Tensor]  # two of each unit


class Stored(NamedTuple):
    """What a memory holds: facts, the tensors of each, those that are being learned, and what it has beside."""

    units: dict[str, Unit]
    tensors: dict[str, Tensors]
    learning: dict[str, tuple[Unit, Tensors]]
    beside: Any = None


class Hook:
    """A forward hook of an adapter; a copy of the module tree keeps it to have it taken off."""

    def __init__(self, adapter: MemoryAdapter) -> None:
        self.adapter = adapter

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        return self

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> Any:
        """Return the module's output, changed; None leaves it."""
        raise NotImplementedError


class MemoryAdapter(StoredAdapter):
    """Facts with two tensors each.

    Attributes
    ----------
    sides
        What the two tensors are called in the file.
    trains_facts
        Whether a fact has to be trained to be known.
    """

    grows = True
    sides: ClassVar[tuple[str, str]]
    trains_facts: ClassVar[bool]

    def __init__(self, module: Any, base_name: str) -> None:
        super().__init__(module, base_name)
        self._tensors_of: dict[str, Tensors] = {}
        self._units: dict[str, Unit] = {}
        self._learning: dict[
            str, tuple[Unit, Tensors]
        ] = {}  # those that have not had all their steps; they answer nothing
        self._vectors: dict[Fact, Any] = {}  # (VECTORS, width) of each fact, by which it is found
        self._router: Router | None = None
        self.log: list[dict[str, Any]] = []
        self._rows: list[str | None] | None = None  # whose tensors each row of the batch has; None adds nothing at all
        self._at: list[int] | None = None  # where in one sequence of several rows the last token of each stands
        self._hooks: list[Any] = []

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        for module in base.modules():
            for number, hook in list(module._forward_hooks.items()):
                if isinstance(hook, Hook):
                    del module._forward_hooks[number]

    def unfreeze(self, config: Any) -> None:
        self.module.requires_grad_(False)

    # -- the facts --------------------------------------------------------------------------------------------------

    @property
    def units(self) -> list[Unit]:
        """The facts, in the order in which they were learned."""
        return list(self._units.values())

    @property
    def learning(self) -> list[Unit]:
        """The units that have not had all their steps."""
        return [unit for unit, _ in self._learning.values()]

    def being_learned(self, unit: str) -> Tensors:
        """Return the factors of a unit that is being learned."""
        return self._learning[unit][1]

    def begin(self, experts: Sequence[tuple[Unit, Tensors]]) -> None:
        """Hold experts that are being trained, in the place of those that were; what is stored answers meanwhile."""
        self._learning = {unit.id: (unit, factors) for unit, factors in experts}

    def learned(self) -> None:
        """Store the experts that were being trained, as the newest; facts that answer the same questions are gone with it."""
        for unit, (down, up) in self._learning.values():
            for fact in unit.facts:
                self.forget(fact.question)
            self._units[unit.id], self._tensors_of[unit.id] = unit, (down.clone(), up.clone())
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
                del self._units[unit.id], self._tensors_of[unit.id]

    def kept_state(self) -> Stored:
        """Return what is stored, for :meth:`put_back`."""
        return Stored(dict(self._units), dict(self._tensors_of), dict(self._learning), self.beside())

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
        return same and all(self._tensors_of[unit] is kept.tensors[unit] for unit in kept.units)

    def put_back(self, kept: Stored) -> None:
        """Store exactly what was stored then."""
        self._units, self._tensors_of, self._learning = dict(kept.units), dict(kept.tensors), dict(kept.learning)
        self._router = None
        if kept.beside is not None:
            self.put_beside(kept.beside)

    def beside(self) -> Any:
        """Return a copy of what is kept beside the facts; None where that is nothing."""
        return None

    def put_beside(self, kept: Any) -> None:
        """Put a copy back."""

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
        return list(dict.fromkeys(fact.source for fact in self.route(question).facts if fact.source))

    def _known_vectors(self) -> Any:
        """Return the vectors of all facts, those of new ones made now."""
        import numpy as np

        facts = [fact for unit in self.units for fact in unit.facts]
        new = [fact for fact in facts if fact not in self._vectors]
        if new:
            made = Router.vectors_of(new, embedder())
            self._vectors |= {fact: made[:, number] for number, fact in enumerate(new)}
        found = [self._vectors[fact] for fact in facts]
        return np.stack(found, axis=1) if found else np.zeros((VECTORS, 0, embedder().width), dtype=np.float32)

    # -- answers ----------------------------------------------------------------------------------------------------

    def asks(self, question: str) -> list[str]:
        """Return the stored questions that a question asks for; where there is none, the base answers."""
        return [fact.question for fact in self.route(question).facts]

    @contextlib.contextmanager
    def routed(self, questions: Sequence[str], at: Sequence[int] | None = None) -> Iterator[None]:
        """Have the rows of a batch answered by what their questions ask for.

        ``at`` is where the last token of each stands, where they share one sequence.
        """
        router = self.router
        units = router.units
        rows = [units[found.units[0]].id if found.units else None for found in map(router.route, questions)]
        with self.speaking(rows, at):
            yield

    @contextlib.contextmanager
    def speaking(self, rows: Sequence[str | None], at: Sequence[int] | None = None) -> Iterator[None]:
        """Have each row of a batch answered by one unit, or by none."""
        before = self._rows, self._at
        self._rows, self._at = (list(rows), list(at) if at is not None else None) if any(rows) else (None, None)
        try:
            yield
        finally:
            self._rows, self._at = before

    def places(self, sequences: int, tokens: int) -> Iterator[tuple[str, int, slice]]:
        """Yield (unit, sequence, its tokens) of each row that one answers, of a pass of that shape."""
        rows = self._rows or []
        shared = self._at is not None or (sequences == 1 and len(rows) > 1)
        at = self._at if self._at is not None else range(len(rows))
        assert len(at) == len(rows) if shared else sequences == len(rows), (
            "the batch has other rows than those that were routed"
        )
        assert self._at is not None or not shared or tokens == len(rows), "a row of several has one token"
        for number, unit in enumerate(rows):
            if unit is not None:
                yield (unit, 0, slice(at[number], at[number] + 1)) if shared else (unit, number, slice(0, tokens))

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        with self.speaking(()):
            yield

    # -- kept -------------------------------------------------------------------------------------------------------

    def packed(self, tensors: Sequence[Tensors]) -> dict[str, torch.Tensor]:
        """Return the tensors of units as those of a file."""
        raise NotImplementedError

    def unpacked(self, tensors: dict[str, torch.Tensor], count: int) -> list[Tensors] | None:
        """Return what :meth:`packed` was given; None where it does not fit this model."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        return {
            **super().described(), "embedder": embedder().id, "units": [unit.to_dict() for unit in self.units], "log": self.log,
            **({"learning": [unit.to_dict() for unit in self.learning]} if self._learning else {}),
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        every = [*self._tensors_of.values(), *(tensors for _, tensors in self._learning.values())]
        tensors = {"vectors": torch.from_numpy(self._known_vectors()), **self.packed(every)}
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
        facts = [fact for unit in units for fact in unit.facts]
        each = self.unpacked(tensors, len(units) + len(learning))
        found = tensors.get("vectors")
        fits = found is not None and tuple(found.shape) == (VECTORS, len(facts), embedder().width)
        if each is None or (same_embedder and not fits):
            raise ModelError(f"The facts in {folder} do not fit this model.")
        self.log = log
        self._units = {unit.id: unit for unit in units}
        self._tensors_of = dict(zip(self._units, each, strict=False))
        self._learning = {unit.id: (unit, pair) for unit, pair in zip(learning, each[len(units) :], strict=True)}
        self._vectors, self._router = {}, None
        if same_embedder:  # of another embedder they are made anew
            self._vectors = dict(zip(facts, found.numpy().transpose(1, 0, 2), strict=True))  # type: ignore[union-attr]

    def remove(self) -> Any:
        for hook in self._hooks:
            hook.remove()
        return self.module

    def merged(self) -> Any:
        raise ExportError(
            "fmt='merged': what is added for a fact depends on the question, which merged weights do not know.",
            fix="Use fmt='adapter'; shadownb.load(path) has the facts again.",
        )
