"""Which stored fact a question asks for, or that none is meant: words and meaning, with a threshold that was calibrated."""

from __future__ import annotations

from shadownb.engine.routing.router import Candidate, Route, Router
from shadownb.engine.routing.units import Unit

__all__ = ["Candidate", "Route", "Router", "Unit"]
