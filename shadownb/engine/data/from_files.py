"""Rows out of files: by the suffix, or by the kind that is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from shadownb.engine.data import readers
from shadownb.engine.data.base import CheckedRows, Names
from shadownb.engine.data.loaded import Loaded


class FromFiles(CheckedRows):
    """The constructors that read a file. Each one checks every row, and takes what :class:`CheckedRows` shares."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Read a .jsonl, .ndjson, .json, .csv or .parquet file.

        Examples
        --------
        >>> snb.Dataset.load("tickets.jsonl").format
        'chat'
        >>> snb.Dataset.load("tickets.csv", columns={"ticket": "prompt", "queue": "completion"}).format
        'instruction'
        """
        return cls._from_file(readers.read_file, path, name, format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_jsonl(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Read a file with one JSON object per line. Other lines are in the report, with their numbers.

        Examples
        --------
        >>> len(snb.Dataset.from_jsonl("tickets.jsonl"))
        12
        """
        return cls._from_file(readers.read_jsonl, path, name, format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_json(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Read a JSON file: a list of objects, an object that holds exactly one list, or a single row.

        Examples
        --------
        >>> len(snb.Dataset.from_json("tickets.json"))
        12
        """
        return cls._from_file(readers.read_json, path, name, format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Read a CSV file with a header line, with or without a byte order mark.

        Examples
        --------
        >>> data = snb.Dataset.from_csv("tickets.csv", columns={"ticket": "prompt", "queue": "completion"})
        >>> data.canonical_row(0)["messages"]
        [{'role': 'user', 'content': 'Where is my parcel?'}, {'role': 'assistant', 'content': 'shipping'}]
        """
        return cls._from_file(readers.read_csv, path, name, format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_parquet(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Read a parquet file.

        Examples
        --------
        >>> path = snb.Dataset.from_list(rows).save("tickets.parquet")
        >>> len(snb.Dataset.from_parquet(path))
        12
        """
        return cls._from_file(readers.read_parquet, path, name, format=format, columns=columns, ignore=ignore)

    @classmethod
    def _from_file(cls, reader: Callable[[Path], Loaded], path: str | Path, name: str | None, **reading: Any) -> Self:
        path = Path(path).expanduser()
        readers.require_file(path)
        return cls(reader(path), name=name or path.stem, source=str(path), **reading)
