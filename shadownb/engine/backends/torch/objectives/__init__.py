"""The objectives a method's spec can name."""

from __future__ import annotations

from shadownb.engine.backends.torch.objectives.base import Objective
from shadownb.engine.backends.torch.objectives.preference import Dpo, Kto
from shadownb.engine.backends.torch.objectives.supervised import Supervised

OBJECTIVES: dict[str, type[Objective]] = {"sft": Supervised, "dpo": Dpo, "kto": Kto}

__all__ = ["OBJECTIVES", "Objective"]
