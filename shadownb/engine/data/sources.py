"""Where the rows of a Dataset come from: lists, files, frames, the hub, the sets that ship with ShadowNB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.data import readers, trees
from shadownb.engine.data.accepting import accepted
from shadownb.engine.data.checking import Checked, Reading, check
from shadownb.engine.data.loaded import Loaded, from_arrow, from_values
from shadownb.engine.data.report import BadRow
from shadownb.engine.privacy.rules import Rule, Rules
from shadownb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import datasets
    import pandas

    from shadownb.engine.trajectories import Trajectory, TrajectoryGroup

Row = dict[str, Any]
Names = Mapping[str, str]

SAMPLES = {"support-triage": "support_triage", "general-text": "general_text"}


class Sources:
    """The constructors of a Dataset. Each one checks every row.

    They share these parameters:

    format
        One of ``FORMATS``; None takes that of most rows.
    columns
        The rows' own names for known columns, as in ``{"frage": "prompt", "antwort": "completion"}``.
    ignore
        Columns, and keys of messages as ``messages[].audio``, that hold something and are not to be read.
    """

    def __init__(
        self,
        rows: Iterable[Row] | Loaded,
        *,
        name: str = "dataset",
        source: str = "list",
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> None:
        loaded = rows if isinstance(rows, Loaded) else from_values(rows)
        if not columns and format in (None, "auto") and trees.is_tree(loaded.rows):
            loaded = trees.conversations(loaded)
        reading = Reading.of(format, columns, ignore, loaded.rows)
        self._settle(loaded, check(loaded, source, reading), reading, name, source)

    def _settle(self, loaded: Loaded, checked: Checked, reading: Reading, name: str, source: str) -> None:
        self._loaded, self._checked, self.reading = loaded, checked, reading
        self.report = checked.report(loaded)
        self.rows: list[Row] = loaded.rows
        self.name = name
        self.source = source
        self.format = checked.format

    def read_as(
        self, *, format: str | None = None, columns: Names | None = None, ignore: Sequence[str] | str = ()
    ) -> Self:
        """Return the same rows, read in another way: for example with a column mapped that ``report`` names as unread.

        Examples
        --------
        >>> data = snb.Dataset.load("tickets.csv", columns={"ticket": "prompt", "queue": "completion"})
        >>> data.read_as(columns={"ticket": "text"}, ignore="queue").format
        'text'
        """
        return type(self)(
            self._loaded, name=self.name, source=self.source, format=format, columns=columns, ignore=ignore
        )

    def read_like(self, *, columns: Names | None = None, ignore: Sequence[str] | str = ()) -> Self:
        """Return the rows read like other rows (evaluation rows like training rows), as far as they have those columns.

        Examples
        --------
        >>> data = snb.Dataset.load("tickets.csv")
        >>> mapped = data.read_like(columns={"ticket": "prompt", "queue": "completion"})
        >>> mapped.format
        'instruction'
        """
        there = {str(name) for row in self.rows for name in row}
        names = [ignore] if isinstance(ignore, str) else ignore
        return self.read_as(
            columns={name: target for name, target in (columns or {}).items() if name in there},
            ignore=[name for name in names if name.partition("[]")[0] in there],
        )

    @classmethod
    def of(
        cls, rows: Any, *, name: str | None = None, columns: Names | None = None, ignore: Sequence[str] | str = ()
    ) -> Self:
        """Return a Dataset of whatever holds rows: a list, a data frame, an Arrow table, a ``datasets.Dataset``.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"prompt": ["I paid twice."], "completion": ["billing"]})
        >>> len(snb.Dataset.of(rows)), len(snb.Dataset.of(frame))
        (12, 1)
        """
        return accepted(rows, cls, "rows", name=name, columns=columns, ignore=ignore)

    @classmethod
    def from_list(
        cls,
        rows: Iterable[Row],
        *,
        name: str = "list",
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Return a dataset of a list of dicts. Raises :class:`DataError` if the list is empty.

        Examples
        --------
        >>> snb.Dataset.from_list(rows, name="tickets")
        Dataset('tickets', 12 rows, format='chat')
        """
        return cls(from_values(rows), name=name, source="list", format=format, columns=columns, ignore=ignore)

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

    @classmethod
    def from_pandas(
        cls,
        frame: pandas.DataFrame,
        *,
        name: str = "frame",
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Return the rows of a pandas frame.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"prompt": ["I paid twice."], "completion": ["billing"]})
        >>> snb.Dataset.from_pandas(frame).format
        'instruction'
        """
        return cls(readers.read_frame(frame), name=name, source="pandas", format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_datasets(
        cls,
        rows: datasets.Dataset,
        *,
        name: str | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Return the rows of a ``datasets.Dataset``; nulls that Arrow added to schemas and arguments are removed.

        Examples
        --------
        >>> import datasets
        >>> snb.Dataset.from_datasets(datasets.Dataset.from_list(rows)).format
        'chat'
        """
        known = name or getattr(rows.info, "dataset_name", None) or "dataset"
        loaded = from_arrow(rows.with_format(None))
        return cls(loaded, name=known, source="datasets", format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_arrow(
        cls,
        table: Any,
        *,
        name: str = "table",
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Return the rows of a pyarrow table, or of a polars frame.

        Examples
        --------
        >>> import pyarrow
        >>> snb.Dataset.from_arrow(pyarrow.Table.from_pylist(rows)).format
        'chat'
        """
        rows = table.to_dicts() if hasattr(table, "to_dicts") else table.to_pylist()
        return cls(from_arrow(rows), name=name, source="arrow", format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_hub(
        cls,
        repo: str,
        subset: str | None = None,
        split: str = "train",
        token: str | None = None,
        *,
        limit: int | None = None,
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> Self:
        """Download one split of a data set from the Hugging Face hub; ``limit`` keeps only its first rows.

        Examples
        --------
        >>> snb.Dataset.from_hub("trl-lib/Capybara", limit=1000)  # doctest: +SKIP
        """
        from shadownb.engine.data.hub import read_hub

        loaded = read_hub(repo, subset=subset, split=split, token=token, limit=limit)
        name = repo.rpartition("/")[2]
        return cls(loaded, name=name, source=f"hub:{repo}", format=format, columns=columns, ignore=ignore)

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Iterable[Trajectory | TrajectoryGroup],
        *,
        name: str = "trajectories",
        ignore: Sequence[str] | str = (),
        redact: str | Rule | Iterable[str | Rule] | None = None,
    ) -> Self:
        """Return one chat row per trajectory, with its tools. Only complete answers that a model really gave are trained.

        Each recorded answer is trained once, even if several trajectories begin with it. A warning says so if a provider's
        model gave the answers. Raises :class:`DataError` if no trajectory has an answer to train on.
        ``redact`` removes personal data, as :meth:`Dataset.redact` does; what was removed when it was recorded is counted, too.

        Examples
        --------
        >>> episodes = snb.traces.from_otlp("spans.json")
        >>> snb.Dataset.from_trajectories(episodes)
        Dataset('trajectories', 2 rows, format='chat')
        """
        from shadownb.engine.trajectories.rows import chat_rows

        return cls._recorded(from_values(chat_rows(trajectories)), name, "trajectories", ignore, redact)

    @classmethod
    def from_captures(
        cls,
        source: Any,
        *,
        where: Callable[[Trajectory], bool] | None = None,
        name: str = "captures",
        ignore: Sequence[str] | str = (),
        redact: str | Rule | Iterable[str | Rule] | None = None,
    ) -> Self:
        """Return the episodes of a capture as chat rows; see :meth:`from_trajectories`.

        Calls that cannot be read (nested too deeply, not JSON) are in the report, each with the reason.

        Parameters
        ----------
        source
            A capture proxy, its store, the id or folder of a capture, or recorded calls.
        where
            A function that returns True for the episodes to keep, for example ``lambda t: "refund" in t.first_user_content()``.
        redact
            Removes personal data, as :meth:`Dataset.redact` does.

        Raises
        ------
        DataError
            The source is not a capture, or no episode with an answer to train on is left.

        Examples
        --------
        >>> len(snb.Dataset.from_captures(store))
        3
        >>> len(snb.Dataset.from_captures("tickets", where=lambda t: "parcel" in t.first_user_content()))
        1
        """
        from shadownb.engine.trajectories.rows import chat_rows, trajectories_of

        episodes = trajectories_of(source, where=where)
        rows = chat_rows(episodes)
        loaded = from_values(rows)
        for number, (call, why) in enumerate(getattr(episodes, "unread", {}).items(), start=1):
            loaded.unreadable.append(BadRow(number, f"{call}: {why}", "unread call"))
        return cls._recorded(loaded, name, "captures", ignore, redact)

    @classmethod
    def _recorded(
        cls,
        loaded: Loaded,
        name: str,
        source: str,
        ignore: Sequence[str] | str,
        redact: str | Rule | Iterable[str | Rule] | None,
    ) -> Self:
        from shadownb.engine.trajectories.rows import BESIDE_ANSWERS

        left = (*BESIDE_ANSWERS, *([ignore] if isinstance(ignore, str) else ignore))
        return cls(loaded.without(Rules.of(redact)), name=name, source=source, format="chat", ignore=left)

    @classmethod
    def sample(cls, name: str = "support-triage", split: str = "train") -> Self:
        """Return a data set that is included in ShadowNB; ``split`` is ``train`` or ``heldout``.

        ``support-triage`` is a task to train on; ``general-text`` (only ``heldout``) is prose about everyday things, to measure
        what a model forgets.

        Examples
        --------
        >>> train, held_out = snb.Dataset.sample(), snb.Dataset.sample(split="heldout")
        >>> len(train), len(held_out)
        (384, 96)
        """
        if name not in SAMPLES:
            known = ", ".join(SAMPLES)
            raise DataError(f"There is no sample {name!r}.{did_you_mean(name, list(SAMPLES))}", fix=f"Use {known}.")
        if split not in ("train", "heldout"):
            raise DataError(f"split={split!r} is unknown for a sample.", fix="Use 'train' or 'heldout'.")
        if (name, split) == ("general-text", "train"):
            raise DataError(
                "general-text has no train split.",
                why="It is there to see what training makes a model forget.",
                fix="Use split='heldout'.",
            )
        file = resources.files("shadownb.engine.data") / "samples" / f"{SAMPLES[name]}.{split}.jsonl"
        with resources.as_file(file) as path:
            return cls(readers.read_jsonl(path), name=f"{name}.{split}", source=f"sample:{name}:{split}")
