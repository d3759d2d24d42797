"""What a training will cost: the estimate of the chosen method, and the memory of every other one that could be used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from shadownb.engine.config_fields import config_fields

from . import _machine
from ._base import Panel, as_card
from ._methods import config_for
from ._plan import Amount
from ._selection import Selection
from ._worker import Background

# A change of these moves a training's memory; a rate, a seed or a number of steps does not.
_MEMORY_GROUPS = frozenset({"batch", "adapter", "data", "memory", "preference"})

NO_ESTIMATE: dict[str, Any] = {"stage": "none"}


class Costs:
    """Keeps a panel's traits ``estimate`` and ``memory`` as they follow from what is chosen.

    Parameters
    ----------
    heavy
        Runs the estimates; one takes about a tenth of a second.
    """

    def __init__(self, panel: Panel, heavy: Background) -> None:
        self._panel: Any = panel
        self._heavy = heavy
        self._table = MemoryTable()

    def settle(self, chosen: Selection, usable: list[str]) -> None:
        """Follow a change of the choices.

        Parameters
        ----------
        usable
            The methods that can be used with them.
        """
        if not chosen.complete:
            self._heavy.cancel("estimate")
            self._panel.write(estimate=NO_ESTIMATE)
            if chosen.model is None or chosen.data is None:
                self._panel.write(memory={})
            return
        self._panel.write(estimate={**self._panel.estimate, "stage": "loading"})
        data, model, config, rows = chosen.data, chosen.model, chosen.config, chosen.train_rows
        from_base = chosen.start_choice.from_base
        self._heavy.submit(
            "estimate",
            lambda: _machine.estimate(model, config, data, rows, from_base),
            lambda found: self._estimated(chosen, found),
            lambda error: self._panel.write(estimate={"stage": "failed", "error": as_card(error)}),
        )
        self._settle_memory(chosen, usable)

    def _estimated(self, chosen: Selection, found: dict[str, Any]) -> None:
        chosen.amount = Amount(found["items"], found["counted"])
        chosen.template = tuple(found.get("template", ()))
        chosen.reach = found.get("reach")
        self._panel.write(estimate={**found, "stage": "ready"}, plan=chosen.plan())
        self._show(chosen)

    def _settle_memory(self, chosen: Selection, usable: list[str]) -> None:
        """Estimate every method that can be used, behind all other work of the panel."""
        data, model, options, from_base = chosen.data, chosen.model, chosen.options, chosen.start_choice.from_base
        missing = self._table.missing(usable, model, data, options, from_base)
        self._show(chosen)

        def measure(name: str) -> None:
            def kept(found: dict[str, Any]) -> None:
                self._table.keep(name, found)
                self._show(chosen)

            # What fails here fails in the estimate as well once the method is chosen, and is a card there.
            job = partial(self._table.measure, name, model, data, options, from_base)
            self._heavy.submit(f"memory of {name}", job, kept, lambda _: None, later=True)

        for name in missing:
            measure(name)

    def _show(self, chosen: Selection) -> None:
        expected = self._panel.estimate.get("expected_gb")
        self._panel.write(memory=self._table.as_dict(chosen.method, expected))


class MemoryTable:
    """What each method is estimated to need, kept as long as nothing changes that it depends on."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._wanted: dict[str, Any] = {}  # what each figure is for

    def missing(
        self, names: list[str], model: Any, data: Any, options: Mapping[str, Any], from_base: bool = False
    ) -> list[str]:
        """Return the methods whose figure is unknown for this model, data and options; others are forgotten."""
        moving = {field.name for field in config_fields() if field.group in _MEMORY_GROUPS}
        state = (id(model), model.trained, from_base, data.fingerprint)
        self._wanted = {
            name: (state, sorted((k, repr(v)) for k, v in config_for(name, options).changed.items() if k in moving))
            for name in names
        }
        self._known = {name: entry for name, entry in self._known.items() if self._wanted.get(name) == entry[0]}
        return [name for name in names if name not in self._known]

    def measure(
        self, name: str, model: Any, data: Any, options: Mapping[str, Any], from_base: bool = False
    ) -> dict[str, Any]:
        """Estimate one method; takes about a tenth of a second."""
        found = _machine.estimate(model, config_for(name, options), data, None, from_base)
        return {key: found[key] for key in ("expected_gb", "fits")}

    def keep(self, name: str, found: dict[str, Any]) -> None:
        """Remember what :meth:`measure` returned."""
        if name in self._wanted:
            self._known[name] = (self._wanted[name], found)

    def as_dict(self, chosen: str, expected_gb: float | None) -> dict[str, dict[str, Any]]:
        """Return the known figures by method, so that the chosen one's is the estimate that the panel shows.

        What the process holds besides the weights changes between two estimates, and is the same for every method.
        """
        known = self._known.get(chosen)
        shift = 0.0 if known is None or expected_gb is None else expected_gb - known[1]["expected_gb"]
        return {
            name: {**found, "expected_gb": max(0.0, found["expected_gb"] + shift)}
            for name, (_, found) in self._known.items()
        }
