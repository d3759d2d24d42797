"""Dataset: rows of any known shape, checked once, with a report of what cannot be used.

Every constructor checks all rows. The format is that of most rows (or the one given); a row that does not fit it stays
in ``rows`` and is listed in ``report`` with its number in the source and the reason. Training uses ``valid_rows``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from shadownb.engine.data.accepting import accepted
from shadownb.engine.data.beside import beside_question
from shadownb.engine.data.checking import held_out_count, split_indices
from shadownb.engine.data.display import dataset_html, dataset_text
from shadownb.engine.data.loaded import Loaded
from shadownb.engine.data.sources import Sources
from shadownb.engine.data.splitting import by_group, by_time
from shadownb.engine.data.writers import columns, to_json, write_file
from shadownb.engine.privacy.rules import Rule, Rules
from shadownb.errors import ConfigError, DataError, MethodError

if TYPE_CHECKING:
    from shadownb.engine.data.statistics import TokenStatistics
    from shadownb.engine.lengths import Lengths
    from shadownb.engine.rendering import Inspection, LossOn, Renderer
    from shadownb.engine.rendering.drops import OnDrop

Row = dict[str, Any]


class Dataset(Sources):
    """Rows to train or evaluate on, checked when they are read. Make one with ``from_list``, ``load``, ``sample``, ...; it does not
    change afterwards.

    Attributes
    ----------
    rows
        All rows as they were given, including those that cannot be used.
    format
        ``chat``, ``sharegpt``, ``preference``, ``unpaired_preference``, ``instruction``, ``text``,
        ``prompt_completion``, ``prompt`` (no row has an answer) or ``raw``.
    name, source
        A short name, and where the rows came from.
    report
        The result of checking the rows: how many can be used, which cannot and why, which columns were not read.
    reading
        The ``format``, ``columns`` and ``ignore`` that were given.

    Examples
    --------
    >>> data = snb.Dataset.from_list(rows)
    >>> data
    Dataset('list', 12 rows, format='chat')
    >>> data.format, data.columns, data.numbers[:3], len(data)
    ('chat', ['messages'], [0, 1, 2], 12)
    >>> print(data.report)
    12 of 12 rows can be used as chat
    >>> len(data.valid_rows()), len(data.usable()), len(data.fingerprint)
    (12, 12, 64)
    >>> data.canonical_rows()[0]["messages"][1]
    {'role': 'assistant', 'content': 'shipping'}
    """

    # -- content -------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they first occur."""
        return columns(self.rows)

    @property
    def numbers(self) -> list[int]:
        """The number of each row in its source, as the report counts them: line, spreadsheet row or index."""
        return list(self._loaded.numbers)

    def valid_rows(self) -> list[Row]:
        """Return the rows that can be used, as they were given."""
        return [row for row, canonical in zip(self.rows, self._checked.canonical, strict=True) if canonical is not None]

    def canonical_rows(self) -> list[Row]:
        """Return the usable rows in canonical form: dicts of ``messages`` (chats), ``text``, or ``prompt`` with ``chosen`` and
        ``rejected`` or ``completion`` and ``label`` (see :mod:`shadownb.engine.data.formats`).

        Raises
        ------
        DataError
            No row can be used, or the format is ``raw``.
        """
        self._refuse_raw()
        rows = [row for row in self._checked.canonical if row is not None]
        if not rows:
            raise DataError(
                f"None of the {self.report.total:,} rows of {self.name!r} can be used.",
                why=str(self.report.bad[0]),
                fix="See dataset.report for the reason of each row.",
            )
        return rows

    def canonical_row(self, index: int) -> Row:
        """Return row number ``index`` in canonical form. Raises :class:`DataError` with the reason if it cannot be used.

        Examples
        --------
        >>> data = snb.Dataset.from_list([{"instruction": "Say hello.", "output": "Hello!"}])
        >>> data.canonical_row(0)
        {'messages': [{'role': 'user', 'content': 'Say hello.'}, {'role': 'assistant', 'content': 'Hello!'}]}
        """
        self._refuse_raw()
        if not -len(self.rows) <= index < len(self.rows):
            raise DataError(
                f"row={index} is outside {self.name!r}, which has {len(self.rows):,} rows.", fix="Rows count from 0."
            )
        index %= len(self.rows)
        row = self._checked.canonical[index]
        if row is None:
            reason = next(bad for bad in self.report.bad if bad.index == index)
            raise DataError(
                f"Row {index} of {self.name!r} cannot be used.", why=str(reason), fix="Correct it, or choose another."
            )
        return row

    def _refuse_raw(self) -> None:
        if self.format == "raw":
            raise DataError(
                f"No known columns in {self.name!r}; it has: {', '.join(self.columns[:12])}.",
                why="Rows need messages, conversations, text, prompt and completion (or instruction and output, "
                "question and answer), chosen and rejected, or completion and label.",
                fix="Say which columns are prompt and completion: columns={'frage': 'prompt', 'antwort': 'completion'}.",
            )

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the rows as JSON (keys sorted, order of rows kept), 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(to_json(row, sort_keys=True, separators=(",", ":")).encode(errors="surrogatepass"))
            digest.update(b"\n")
        return digest.hexdigest()

    # -- parts ---------------------------------------------------------------------------------------------------

    def split(
        self, test_size: float = 0.1, *, seed: int = 0, group: str | None = None, time: str | None = None
    ) -> tuple[Dataset, Dataset]:
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

    def head(self, n: int = 5) -> Dataset:
        """Return the first ``n`` rows.

        Examples
        --------
        >>> len(snb.Dataset.from_list(rows).head(3))
        3
        """
        return self[:n]

    def _part(self, indices: Sequence[int], name: str) -> Dataset:
        loaded = Loaded(
            [self.rows[index] for index in indices],
            [self._loaded.numbers[index] for index in indices],
            self._loaded.place,
            arrow=self._loaded.arrow,
            redacted=[given[index] for index in indices] if (given := self._loaded.redacted) is not None else None,
            not_covered=self._loaded.not_covered,
        )
        part = Dataset.__new__(Dataset)
        part._settle(loaded, self._checked.part(indices), self.reading, name, self.source)
        return part

    def redact(self, rules: str | Rule | Iterable[str | Rule] = "personal") -> Dataset:
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
        loaded = self._loaded.without(Rules.of(rules))
        reading = self.reading
        return type(self)(
            loaded,
            name=self.name,
            source=self.source,
            format=reading.format,
            columns=reading.columns,
            ignore=sorted(reading.ignore),
        )

    def keeping(self, columns: Sequence[str]) -> Dataset:
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

    def _with(self, canonical: list[Row | None]) -> Dataset:
        kept = Dataset.__new__(Dataset)
        kept._settle(self._loaded, replace(self._checked, canonical=canonical), self.reading, self.name, self.source)
        return kept

    def usable(self) -> Dataset:
        """Return a dataset of only the rows that can be used."""
        indices = [index for index, row in enumerate(self._checked.canonical) if row is not None]
        return self if len(indices) == len(self) else self._part(indices, self.name)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Row | Dataset:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.rows))
            shown = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
            return self._part(range(start, stop, step), f"{self.name}[{shown}]")
        return self.rows[index]

    # -- with a model --------------------------------------------------------------------------------------------

    def token_statistics(
        self, model: Any, *, loss_on: LossOn = "assistant", max_length: int | None = None
    ) -> TokenStatistics:
        """Return how many tokens the rows have for a model or tokenizer: minimum, median, mean, maximum, trained tokens.

        Parameters
        ----------
        model
            A loaded model or a transformers tokenizer.
        loss_on
            Which tokens count as trained, as in :class:`TrainConfig`.
        max_length
            Rows longer than this are counted; None is the model's ``max_length``.

        Examples
        --------
        >>> snb.Dataset.from_list(rows).token_statistics(model, max_length=48)
        TokenStatistics(rows: 12, tokens a row: 40 to 48, median: 46, ... longer than 48: 0)
        """
        from shadownb.engine.data.statistics import token_statistics

        limit = _longest_row(model, max_length)
        return token_statistics(_renderer(model), self.canonical_rows(), loss_on=loss_on, max_length=limit)

    def inspect(
        self,
        model: Any,
        row: int = 0,
        *,
        method: str | None = None,
        loss_on: LossOn = "assistant",
        max_length: int | None = None,
        on_template_drop: OnDrop | None = None,
    ) -> Inspection:
        """Return the exact tokens that a model (or tokenizer) sees for a row, and which of them are trained.

        Parameters
        ----------
        method
            The training method; None chooses one by the row's shape.
        max_length
            Most tokens of a sequence; None is the model's ``max_length``. Never more than the model has positions.
        on_template_drop
            As in :class:`TrainConfig`; None is the model's setting.

        Raises
        ------
        DataError
            The row cannot be used, or the chat template refuses it or drops part of it.
        MethodError
            The method needs rows of another shape.

        Examples
        --------
        >>> print(snb.Dataset.from_list(rows).inspect(model, row=4))
        row 4; 40 tokens, 8 trained (loss on assistant)
        [[...]] is trained. ...
        <|im_start|>user
        I paid twice.<|im_end|>
        <|im_start|>assistant
        [[billing<|im_end|>]]
        """
        from shadownb.engine import methods
        from shadownb.engine.objectives.inspection import inspect_row

        canonical = self.canonical_row(row)
        spec = methods.get(method) if method is not None else None
        reason = spec.unfit(self.format) if spec is not None else None
        if reason is not None:
            raise MethodError(f"{reason}.", fix="Choose a method for this data: shadownb.methods.available().")
        renderer = _renderer(model)
        return inspect_row(
            renderer if on_template_drop is None else renderer.under(on_template_drop),
            canonical,
            objective=spec.objective if spec is not None else None,
            long_rows=spec.long_rows if spec is not None else "cut",
            loss_on=loss_on,
            max_length=_longest_row(model, max_length, method),
            number=row,
        )

    # -- out -----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the rows to a .jsonl, .ndjson, .json, .csv or .parquet file and return its path.

        Examples
        --------
        >>> path = snb.Dataset.from_list(rows).save("kept.jsonl")
        >>> len(snb.Dataset.load(path))
        12
        """
        return write_file(self.rows, Path(path).expanduser())

    def __repr__(self) -> str:
        return dataset_text(self)

    def _repr_html_(self) -> str:
        return dataset_html(self)


def as_dataset(
    value: Any,
    what: str = "dataset",
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] | str = (),
) -> Dataset:
    """Return what holds rows as a Dataset.

    Parameters
    ----------
    what
        How an error names the value.
    name
        The name of the Dataset that is made; None takes the kind's own.
    columns, ignore
        As every constructor takes them; for a Dataset, as :meth:`Dataset.read_as`.

    Raises
    ------
    DataError
        It holds no rows, or several splits, or has no known end.
    """
    return accepted(value, Dataset, what, name=name, columns=columns, ignore=ignore)


def _renderer(model: Any) -> Renderer:
    from shadownb.engine.rendering import Renderer, Tokenizer

    own: Renderer | None = getattr(model, "renderer", None)
    if own is None and not isinstance(model, Tokenizer):
        raise ConfigError(
            f"model={model!r} is neither a model nor a tokenizer.",
            why="Tokens are shown as one of them has them.",
            fix="Load it first: model = shadownb.load(name); or give a tokenizer of transformers.",
        )
    return own if own is not None else Renderer(model)


def _longest_row(model: Any, asked: int | None, method: str | None = None) -> int | None:
    """Return the most tokens of a row as training cuts it; None where only a tokenizer is given, which sets no limit."""
    if not hasattr(model, "lengths"):
        return asked if asked is not None else getattr(model, "max_length", None)
    from shadownb.engine.config import TrainConfig

    config = TrainConfig(method=method) if method is not None else None
    lengths: Lengths = model.lengths
    return lengths.longest_row(asked, config)


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
