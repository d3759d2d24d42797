"""Facts that a model owns: added, changed, taken away and tested one by one; ``model.facts``."""

from __future__ import annotations

from shadownb.engine.facts.edits import Edit, FactTest
from shadownb.engine.facts.facts import Facts

__all__ = ["Edit", "FactTest", "Facts"]
