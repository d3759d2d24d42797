"""Which rows: sides, slices, those that can be used. Rows that are left are not judged anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, overload

from shadownb.engine.data.base import Row
from shadownb.engine.data.checking import held_out_count, split_indices
from shadownb.engine.data.duplicates import duplicates
from shadownb.engine.data.loaded import Loaded
from shadownb.engine.data.matching import Match
from shadownb.engine.data.splitting import by_group, by_time
from shadownb.engine.data.with_model import WithModel
from shadownb.errors import ConfigError, DataError


class Selecting(WithModel):
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

    def filter(
        self,
        where: Callable[[Row], bool] | None = None,
        *,
        text: str = "",
        role: str = "",
        min_characters: int | None = None,
        max_characters: int | None = None,
        model: Any = None,
        min_tokens: int | None = None,
        max_tokens: int | None = None,
        inverse: bool = False,
    ) -> Self:
        """Return the rows that have all that is asked, or with ``inverse`` all others.

        Parameters
        ----------
        where
            A function of a row as it was given.
        text
            Words of a message, upper and lower case alike.
        role
            A role that one of the messages has.
        min_characters, max_characters
            How long the text of a row is, over all its messages.
        model, min_tokens, max_tokens
            How many tokens the row has for a model or tokenizer; a row that its template cannot render has none.

        Raises
        ------
        ConfigError
            Lengths that cannot be, or tokens without a model.
        DataError
            No row is left.

        Examples
        --------
        >>> data = snb.Dataset.from_list(rows)
        >>> len(data.filter(text="parcel")), len(data.filter(text="parcel", inverse=True))
        (3, 9)
        >>> len(data.filter(lambda row: len(row["messages"]) == 2)), len(data.filter(model=model, max_tokens=42))
        (12, 1)
        """
        held = self.matching(Match(text, role, min_characters, max_characters), model, min_tokens, max_tokens)
        if where is not None:
            held = [index for index in held if where(self.rows[index])]
        chosen = set(held)
        kept = [index for index in range(len(self)) if (index in chosen) is not inverse]
        if not kept:
            raise DataError(
                f"None of the {len(self):,} rows of {self.name!r} would be left.",
                fix="Ask for less, or look at the rows.",
            )
        return self._part(kept, self.name)

    def matching(
        self, match: Match, model: Any = None, min_tokens: int | None = None, max_tokens: int | None = None
    ) -> list[int]:
        """Return the positions of the rows that :meth:`filter` keeps."""
        read = [made if made is not None else row for row, made in zip(self.rows, self._checked.canonical, strict=True)]
        found = [index for index, row in enumerate(read) if match.holds(row)]
        if min_tokens is None and max_tokens is None:
            return found
        if model is None:
            raise ConfigError(
                "min_tokens and max_tokens count tokens of a model, and none is given.",
                fix="Give model=..., or count with min_characters and max_characters.",
            )
        usable = (index for index, made in enumerate(self._checked.canonical) if made is not None)
        lengths = dict(zip(usable, self.token_statistics(model).lengths, strict=True))
        low, high = min_tokens or 0, max_tokens if max_tokens is not None else float("inf")
        return [index for index in found if (length := lengths.get(index)) is not None and low <= length <= high]

    def drop(self, rows: int | Iterable[int]) -> Self:
        """Return all but these rows, which are counted from 0.

        Raises
        ------
        DataError
            There is no such row, or none is left.

        Examples
        --------
        >>> len(snb.Dataset.from_list(rows).drop([0, 3]))
        10
        """
        gone = {rows} if isinstance(rows, int) else set(rows)
        outside = sorted(index for index in gone if not 0 <= index < len(self))
        if outside:
            raise DataError(
                f"rows={outside[0]} is outside {self.name!r}, which has {len(self):,} rows.", fix="Rows count from 0."
            )
        kept = [index for index in range(len(self)) if index not in gone]
        if not kept:
            raise DataError(f"None of the {len(self):,} rows of {self.name!r} would be left.", fix="Leave some in.")
        return self._part(kept, self.name)

    def dedupe(self, near: float | None = None) -> Self:
        """Return the rows without those that repeat an earlier one.

        Parameters
        ----------
        near
            None takes out rows that are the same word for word; a share above 0, at most 1, such as 0.8, also those that have
            so much of their five-word sequences in common (Jaccard similarity, found by MinHash). What more than half of the
            rows have, such as a system prompt, does not count.

        Examples
        --------
        >>> twice = snb.Dataset.from_list([*rows, *rows])
        >>> len(twice), len(twice.dedupe()), twice.duplicates()[12]
        (24, 12, 0)
        """
        again = self.duplicates(near)
        return self._part([index for index in range(len(self)) if index not in again], self.name) if again else self

    def duplicates(self, near: float | None = None) -> dict[int, int]:
        """Return which rows :meth:`dedupe` takes out, each with the earlier row that it repeats.

        Examples
        --------
        >>> snb.Dataset.from_list([*rows[:2], rows[0]]).duplicates()
        {2: 0}
        """
        read = [made if made is not None else row for row, made in zip(self.rows, self._checked.canonical, strict=True)]
        return duplicates(read, near)

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
