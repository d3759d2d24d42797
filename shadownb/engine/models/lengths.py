"""How long a row may be: what was asked for, within the positions that the model has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine import methods
from shadownb.engine.inference.weights import max_positions
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.models.asking import Asking


def longest_row(model: Asking, asked: int | None, config: TrainConfig | None = None) -> int:
    """Return the most tokens of a row.

    Parameters
    ----------
    asked
        What the user wants; None is the model's ``max_seq_length``.
    config
        Of the training that the row is for: its learned prompt needs positions too.
    """
    wanted, room = model.max_seq_length if asked is None else asked, room_for_rows(model, config)
    return wanted if room is None else max(1, min(wanted, room))


def room_for_rows(model: Asking, config: TrainConfig | None = None) -> int | None:
    """Return how many positions a row can have, or None where the architecture sets no limit."""
    positions = max_positions(model.weights.base_module()) if model.weights.module is not None else None
    return None if positions is None else positions - _virtual_tokens(model, config)


def check_length(model: Asking, config: TrainConfig) -> None:
    """Raise ConfigError where a run asks for longer rows than the model has positions for."""
    asked, room = config.max_seq_length, room_for_rows(model, config)
    if asked is not None and room is not None and asked > room:
        raise ConfigError(
            f"max_seq_length={asked}: this model has room for rows of {max(0, room)} tokens.",
            why=_positions(model, config),
            fix="Leave it out, or give at most that.",
        )


def how_to_keep_more(model: Asking, config: TrainConfig) -> tuple[str, str]:
    """Return (why, what to do) about a run's rows that are too long: the second as a sentence begins."""
    room = room_for_rows(model, config)
    if room is None or longest_row(model, config.max_seq_length, config) < room:
        return "", "Raise max_seq_length"
    fewer = "Use fewer num_virtual_tokens or shorten the rows" if _virtual_tokens(model, config) else "Shorten the rows"
    return _positions(model, config), fewer


def _positions(model: Asking, config: TrainConfig) -> str:
    virtual, positions = _virtual_tokens(model, config), max_positions(model.weights.base_module())
    return f"The model has {positions} positions" + (f", and the learned prompt takes {virtual}." if virtual else ".")


def _virtual_tokens(model: Asking, config: TrainConfig | None) -> int:
    """Return how many learned embeddings stand before every row: those that are there, or that a run would add."""
    if model.weights.carried is not None:
        return model.weights.carried.virtual_tokens
    prompted = config is not None and methods.get(config.method).surface == "prompt"
    return config.num_virtual_tokens if config is not None and prompted else 0
