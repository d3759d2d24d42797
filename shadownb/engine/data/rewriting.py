"""The same rows in another form: without personal data, with columns kept beside what is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Self

from shadownb.engine.data.base import CheckedRows, Row
from shadownb.engine.data.beside import beside_question
from shadownb.engine.data.loaded import Loaded
from shadownb.engine.privacy.rules import Rule, Rules
from shadownb.errors import DataError


class Rewriting(CheckedRows):
    """The rows of a :class:`Dataset` with something else in them, as a Dataset."""

    def redact(self, rules: str | Rule | Iterable[str | Rule] = "personal") -> Self:
        """Return the same rows without personal data; ``report`` counts what was taken out and names what was not looked for.

        One value has one mark throughout a row: the first address in it is ``[email 1]``, also in tool calls and their results.

        Parameters
        ----------
        rules
            ``personal`` (``email``, ``iban``, ``card``, ``address``, ``phone``), some of these, ``key``, ``phone:DE`` (numbers as
            they are written within a country), ``name:FILE`` (a list with one name a line), or functions ``text -> text``.
            A function that finds names by a model says so by ``covers = ("name",)``.

        Raises
        ------
        ConfigError
            There is no such rule.

        Examples
        --------
        >>> row = {"prompt": "Write to ann@example.org.", "completion": "Written to ann@example.org."}
        >>> clean = snb.Dataset.from_list([row]).redact("email")
        >>> clean.rows[0]["prompt"]
        'Write to [email 1].'
        >>> clean.report.redacted
        {'email': 2}
        """
        return self._again(self._loaded.without(Rules.of(rules)))

    def with_row(self, index: int, row: Row) -> Self:
        """Return the same rows with another one in the place of one; all are checked again.

        Raises
        ------
        DataError
            There is no such row, or what is given is none.

        Examples
        --------
        >>> data = snb.Dataset.from_list([{"prompt": "Where is my parcel?", "completion": "billing"}])
        >>> data.with_row(0, {"prompt": "Where is my parcel?", "completion": "shipping"}).rows[0]["completion"]
        'shipping'
        """
        if not 0 <= index < len(self.rows):
            raise DataError(
                f"index={index} is outside {self.name!r}, which has {len(self.rows):,} rows.", fix="Rows count from 0."
            )
        if not isinstance(row, dict):
            raise DataError(
                f"row= is a {type(row).__name__}, not a row.",
                fix="Give an object with named columns, as the other rows are.",
            )
        counts = self._loaded.redacted
        loaded = replace(
            self._loaded,
            rows=[*self.rows[:index], row, *self.rows[index + 1 :]],
            redacted=[*counts[:index], {}, *counts[index + 1 :]] if counts is not None else None,
        )
        return self._again(loaded)

    def _again(self, loaded: Loaded) -> Self:
        reading = self.reading
        return type(self)(
            loaded,
            name=self.name,
            source=self.source,
            format=reading.format,
            columns=reading.columns,
            ignore=sorted(reading.ignore),
        )

    def keeping(self, columns: Sequence[str]) -> Self:
        """Return the same rows with these columns kept in their canonical form, under the key ``columns``.

        ``*`` is whatever stands beside question and conversation, which no row has to have.

        Raises
        ------
        DataError
            A usable row lacks one of the columns, or its value cannot be written as JSON.

        Examples
        --------
        >>> numbered = [{**row, "ticket": number} for number, row in enumerate(rows)]
        >>> data = snb.Dataset.from_list(numbered, ignore="ticket")
        >>> data.keeping(["ticket"]).canonical_row(3)["columns"]
        {'ticket': 3}
        """
        if not columns:
            return self
        if "*" in columns:
            beside = [
                made and {**made, "columns": beside_question(row, made)}
                for row, made in zip(self.rows, self._checked.canonical, strict=True)
            ]
            return self._with(beside)
        canonical = [
            {**made, "columns": {name: _json_value(row, name, number, self.name) for name in columns}} if made else None
            for row, made, number in zip(self.rows, self._checked.canonical, self.numbers, strict=True)
        ]
        return self._with(canonical)

    def _with(self, canonical: list[Row | None]) -> Self:
        kept = type(self).__new__(type(self))
        kept._settle(self._loaded, replace(self._checked, canonical=canonical), self.reading, self.name, self.source)
        return kept


def _json_value(row: Row, name: str, number: int, data: str) -> Any:
    try:
        if row.get(name) is not None:
            return json.loads(json.dumps(row[name], allow_nan=False))
        wrong = "has none"
    except (TypeError, ValueError) as error:
        wrong = f"has something else ({error})"
    raise DataError(
        f"Row {number} of {data!r} {wrong} in the column {name!r}, which the training needs.",
        fix="Give it a number, a text, or a list of such in every row.",
    )
