"""Dataset: rows of any known shape, checked once, with a report of what cannot be used.

Every constructor checks all rows. The format is that of most rows (or the one given); a row that does not fit it stays
in ``rows`` and is listed in ``report`` with its number in the source and the reason. Training uses ``valid_rows``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.data.accepting import accepted
from shadownb.engine.data.display import dataset_html, dataset_text
from shadownb.engine.data.rewriting import Rewriting
from shadownb.engine.data.selecting import Selecting
from shadownb.engine.data.sources import Sources
from shadownb.engine.data.writers import write_file


class Dataset(Sources, Selecting, Rewriting):
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
