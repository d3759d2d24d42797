"""Training of what a model knows by heart, whatever form it is kept in: facts are named by their rows, and copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.backends.torch.adapters.facts import FactsAdapter
from shadownb.engine.backends.torch.adapters.reader import ReaderAdapter
from shadownb.engine.backends.torch.training import TorchTraining
from shadownb.engine.embedding import embedder
from shadownb.engine.objectives import Remark
from shadownb.engine.rendering.examples import Example
from shadownb.engine.routing import Unit
from shadownb.engine.routing.units import Fact


class MemoryTraining(TorchTraining):
    """What experts of facts and a memory that is read share."""

    adapter: FactsAdapter | ReaderAdapter

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        embedder()  # without it nothing that is learned or stored could be found

    def remarks(self) -> Iterator[Remark]:
        """Yield nothing: what is to be said is of the rows."""
        yield from ()

    @property
    def may_skip(self) -> bool:
        """No step is skipped: what is trained has 32 bits."""
        return False

    def snapshot(self) -> Any:
        """Return a copy of what is stored."""
        return self.adapter.kept_state()

    def restore(self, kept: Any) -> None:
        """Put a copy back."""
        self.adapter.put_back(kept)


def unit_of(examples: Sequence[Example]) -> Unit:
    """Return the facts of rows as one unit."""
    columns = [example.columns for example in examples]
    return Unit(tuple(Fact(each["question"], each["answer"], str(each.get("source", ""))) for each in columns))
