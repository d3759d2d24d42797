"""How long a row may be: what was asked for, within the positions that the model has for it."""

from __future__ import annotations

from dataclasses import dataclass

from shadownb.engine.config import TrainConfig
from shadownb.errors import ConfigError


@dataclass(frozen=True)
class Lengths:
    """What a model has room for, in tokens; ``model.lengths`` gives it as the model is now.

    Attributes
    ----------
    max_length
        The longest row unless something else is asked for.
    positions
        How many positions the architecture has, or None where it sets no limit.
    virtual_tokens
        How many learned embeddings the model carries before every row; None where it carries nothing yet, so that a training
        may put some there.
    """

    max_length: int
    positions: int | None = None
    virtual_tokens: int | None = None

    def longest_row(self, asked: int | None, config: TrainConfig | None = None) -> int:
        """Return the most tokens of a row.

        Parameters
        ----------
        asked
            What the user wants; None is ``max_length``.
        config
            Of the training that the row is for: its learned prompt needs positions too.
        """
        wanted, room = self.max_length if asked is None else asked, self.room_for_rows(config)
        return wanted if room is None else max(1, min(wanted, room))

    def room_for_rows(self, config: TrainConfig | None = None) -> int | None:
        """Return how many positions a row can have, or None where the architecture sets no limit."""
        return None if self.positions is None else self.positions - self._before_rows(config)

    def check(self, config: TrainConfig) -> None:
        """Raise ConfigError where a run asks for longer rows than there are positions for."""
        asked, room = config.max_length, self.room_for_rows(config)
        if asked is not None and room is not None and asked > room:
            raise ConfigError(
                f"max_length={asked}: this model has room for rows of {max(0, room)} tokens.",
                why=self._told(config),
                fix="Leave it out, or give at most that.",
            )

    def how_to_keep_more(self, config: TrainConfig) -> tuple[str, str]:
        """Return (why, what to do) about a run's rows that are too long: the second as a sentence begins."""
        room = self.room_for_rows(config)
        if room is None or self.longest_row(config.max_length, config) < room:
            return "", "Raise max_length"
        fewer = "Use fewer num_virtual_tokens or shorten the rows" if self._before_rows(config) else "Shorten the rows"
        return self._told(config), fewer

    def _told(self, config: TrainConfig) -> str:
        virtual = self._before_rows(config)
        return f"The model has {self.positions} positions" + (
            f", and the learned prompt takes {virtual}." if virtual else "."
        )

    def _before_rows(self, config: TrainConfig | None) -> int:
        """Return how many learned embeddings stand before every row: those that are there, or that a run would add."""
        if self.virtual_tokens is not None:
            return self.virtual_tokens
        prompted = config is not None and config.spec.adapter == "prompt"
        return config.num_virtual_tokens if config is not None and prompted else 0
