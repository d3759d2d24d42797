"""What a call costs, from a table that the user can see and change.

``prices.yaml`` beside this file has US dollars for a million tokens, with the date of each entry. A file of the same form
at ``SHADOWNB_HOME/prices.yaml`` is laid over it, and ``prices=`` over both. A model that is in none of them has no cost: None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shadownb.engine.home import home
from shadownb.errors import ConfigError

_DATED = re.compile(r"[-@:](?:\d{4}-?\d{2}-?\d{2}|latest|\d{3,4})$")  # gpt-4o-2024-08-06, claude-sonnet-4-20250514
_FIELDS = ("input", "cached_input", "cache_write", "cache_write_1h", "output")
_LONG_WRITE = 1.6  # times a five-minute write: Anthropic takes 2 and 1.25 times what input costs


class PriceTable:
    """Prices by model.

    Parameters
    ----------
    models
        ``{model: {"input", "output", "cached_input"?, "cache_write"?, "cache_write_1h"?, "as_of"?}}``, US dollars for a
        million tokens. Without ``cached_input`` cached tokens cost what input costs, without ``cache_write`` likewise; without
        ``cache_write_1h`` an hour of the cache costs 1.6 times ``cache_write``, where that is given.
    """

    def __init__(self, models: Mapping[str, Mapping[str, Any]]) -> None:
        self.models = {name: _checked(name, entry) for name, entry in models.items()}

    @classmethod
    def load(cls, given: PriceTable | Mapping[str, Any] | str | Path | None = None) -> PriceTable:
        """Return the shipped table with the user's file and ``given`` (table, dict or file) laid over it."""
        if isinstance(given, PriceTable):
            return given
        models: dict[str, Any] = dict(_read(Path(__file__).with_name("prices.yaml")))
        own = home() / "prices.yaml"
        if own.is_file():
            models.update(_read(own))
        if isinstance(given, Mapping):
            models.update(given.get("models", given))
        elif given is not None:
            models.update(_read(Path(given).expanduser()))
        return cls(models)

    def find(self, model: str | None) -> dict[str, Any] | None:
        """Return the entry of a model: by its name, else without date and without the provider before a slash."""
        if not model:
            return None
        for name in (model, model.rpartition("/")[2]):
            for candidate in (name, _DATED.sub("", name)):
                if candidate in self.models:
                    return self.models[candidate]
        return None

    def cost(self, models: str | tuple[str | None, ...] | None, usage: Mapping[str, Any] | None) -> float | None:
        """Return US dollars, or None where the model or the tokens are not known. The first known model counts."""
        names = models if isinstance(models, tuple) else (models,)
        entry = next((found for name in names if (found := self.find(name)) is not None), None)
        if entry is None or not usage or "prompt_tokens" not in usage:
            return None
        cached, written = usage.get("cached_tokens", 0), usage.get("cache_write_tokens", 0)
        fresh = max(0, usage["prompt_tokens"] - cached - written)
        hour = min(written, usage.get("cache_write_1h_tokens", 0))
        short = entry.get("cache_write", entry["input"])
        dollars = (
            fresh * entry["input"]
            + cached * entry.get("cached_input", entry["input"])
            + (written - hour) * short
            + hour * entry.get("cache_write_1h", _LONG_WRITE * short if "cache_write" in entry else short)
            + usage.get("completion_tokens", 0) * entry["output"]
        )
        return float(dollars / 1e6)

    def to_frame(self) -> Any:
        """Return the table as a DataFrame."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.models, orient="index").rename_axis("model").reset_index()

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))

    def __repr__(self) -> str:
        return f"PriceTable({len(self.models)} models, US dollars for a million tokens)"


@cache
def _shipped(path: Path, changed: float) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    models = content.get("models", content) if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ConfigError(f"{path} is not a price table.", fix="Give models: {name: {input: 1.0, output: 2.0}}.")
    return models


def _read(path: Path) -> dict[str, Any]:
    try:
        return _shipped(path, path.stat().st_mtime)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"The price table {path} cannot be read: {error}", fix="Give a YAML file, or leave it out."
        ) from error


def _checked(name: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or "input" not in entry or "output" not in entry:
        raise ConfigError(f"The price of {name!r} is {entry!r}.", fix="Give {'input': dollars, 'output': dollars}.")
    for field in _FIELDS:
        value = entry.get(field, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"The price {field}={value!r} of {name!r} is not a number.", fix="Give US dollars.")
    return dict(entry)
