"""Which rows: sides, slices, those that can be used. Rows that are left are not judged anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, overload

from shadownb.engine.data.base import CheckedRows, Row
from shadownb.engine.data.checking import held_out_count, split_indices
from shadownb.engine.data.loaded import Loaded
from shadownb.engine.data.splitting import by_group, by_time
from shadownb.errors import ConfigError


class Selecting(CheckedRows):
    """Some of the rows of a :class:`Dataset`, in their order, as a Dataset."""

    def split(
        self, test_size: float = 0.1, *, seed: int = 0, group: str | None = None, time: str | None = None
    ) -> tuple[Self, Self]:
        """Split into (train, test), at random, by source or by time; each keeps the order of the rows.

        Parameters
        ----------
        test_size
            A fraction between 0 and 1, or a whole number of rows. Each side gets at least one row.
        seed
            The same seed gives the same split; the global generators are not used.
        group
            A column (a customer, a document): rows with the same value are on the same side, so that the test side tells how
            well the model does on sources that it has not seen.
        time
            A column with numbers or dates: the test side has the latest rows, as in use.

        Raises
        ------
        DataError
            There are fewer than two rows, ``test_size`` is out of range, or a column is missing or does not tell rows apart.
        ConfigError
            Both ``group`` and ``time`` are given.

        Examples
        --------
        >>> train, test = snb.Dataset.from_list(rows).split(0.25, seed=1)
        >>> len(train), len(test)
        (9, 3)
        """
        if group is not None and time is not None:
            raise ConfigError(
                f"group={group!r} and time={time!r} cannot both decide what is held out.", fix="Give one of them."
            )
        if group is None and time is None:
            train, test = split_indices(len(self.rows), test_size, seed, self.name)
        else:
            wanted = held_out_count(len(self.rows), test_size, self.name)
            train, test = (
                by_group(self.rows, group, wanted, seed) if group is not None else by_time(self.rows, str(time), wanted)
            )
        return self._part(train, f"{self.name}.train"), self._part(test, f"{self.name}.test")

    def head(self, n: int = 5) -> Self:
        """Return the first ``n`` rows.

        Examples
        --------
        >>> len(snb.Dataset.from_list(rows).head(3))
        3
        """
        return self[:n]

    def _part(self, indices: Sequence[int], name: str) -> Self:
        loaded = Loaded(
            [self.rows[index] for index in indices],
            [self._loaded.numbers[index] for index in indices],
            self._loaded.place,
            arrow=self._loaded.arrow,
            redacted=[given[index] for index in indices] if (given := self._loaded.redacted) is not None else None,
            not_covered=self._loaded.not_covered,
        )
        part = type(self).__new__(type(self))
        part._settle(loaded, self._checked.part(indices), self.reading, name, self.source)
        return part

    def usable(self) -> Self:
        """Return a dataset of only the rows that can be used."""
        indices = [index for index, row in enumerate(self._checked.canonical) if row is not None]
        return self if len(indices) == len(self) else self._part(indices, self.name)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Row | Self:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.rows))
            shown = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
            return self._part(range(start, stop, step), f"{self.name}[{shown}]")
        return self.rows[index]
