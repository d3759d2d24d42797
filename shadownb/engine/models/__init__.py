"""Models: finding them by name, loading them, and the :class:`Model` handle that trains, answers and saves."""

from __future__ import annotations

from shadownb.engine.models.catalog import ModelInfo, catalog
from shadownb.engine.models.certifying import certify
from shadownb.engine.models.loading import load
from shadownb.engine.models.model import Model

__all__ = ["Model", "ModelInfo", "catalog", "certify", "load"]
