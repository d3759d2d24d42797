"""Where the rows of a Dataset come from: lists, files, frames, the hub, the sets that ship with ShadowNB."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.data import readers
from shadownb.engine.data.checking import check
from shadownb.engine.data.readers import Loaded
from shadownb.engine.data.report import BadRow
from shadownb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas

    from shadownb.engine.trajectories import Trajectory, TrajectoryGroup

Row = dict[str, Any]

SAMPLES = {"support-triage": "support_triage", "general-text": "general_text"}


class Sources:
    """The constructors of a Dataset. Each one checks every row."""

    def __init__(
        self, rows: Iterable[Row] | Loaded, *, name: str = "dataset", source: str = "list", format: str | None = None
    ) -> None:
        self._loaded = rows if isinstance(rows, Loaded) else readers.from_values(rows)
        self._canonical, self.report = check(self._loaded, source, format)
        self.rows: list[Row] = self._loaded.rows
        self.name = name
        self.source = source
        self.format = self.report.format

    @classmethod
    def from_list(cls, rows: Iterable[Row], *, name: str = "list", format: str | None = None) -> Self:
        """Return a dataset of dicts. Raises :class:`DataError` if there is none."""
        return cls(readers.from_values(rows), name=name, source="list", format=format)

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None, format: str | None = None) -> Self:
        """Read a .jsonl, .ndjson, .json, .csv or .parquet file."""
        return cls._from_file(readers.read_file, path, name, format)

    @classmethod
    def from_jsonl(cls, path: str | Path, *, name: str | None = None, format: str | None = None) -> Self:
        """Read one JSON object a line. A line that is not one is in the report with its number."""
        return cls._from_file(readers.read_jsonl, path, name, format)

    @classmethod
    def from_json(cls, path: str | Path, *, name: str | None = None, format: str | None = None) -> Self:
        """Read a JSON list of objects, or an object that holds exactly one list."""
        return cls._from_file(readers.read_json, path, name, format)

    @classmethod
    def from_csv(cls, path: str | Path, *, name: str | None = None, format: str | None = None) -> Self:
        """Read a CSV file with a header line, with or without a byte order mark."""
        return cls._from_file(readers.read_csv, path, name, format)

    @classmethod
    def from_parquet(cls, path: str | Path, *, name: str | None = None, format: str | None = None) -> Self:
        """Read a parquet file."""
        return cls._from_file(readers.read_parquet, path, name, format)

    @classmethod
    def _from_file(
        cls, reader: Callable[[Path], Loaded], path: str | Path, name: str | None, format: str | None
    ) -> Self:
        path = Path(path).expanduser()
        readers.require_file(path)
        return cls(reader(path), name=name or path.stem, source=str(path), format=format)

    @classmethod
    def from_pandas(cls, frame: pandas.DataFrame, *, name: str = "frame", format: str | None = None) -> Self:
        """Return the rows of a pandas frame."""
        return cls(readers.read_frame(frame), name=name, source="pandas", format=format)

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
    ) -> Self:
        """Download one split of a Hugging Face hub data set; ``limit`` keeps only its first rows."""
        from shadownb.engine.data.hub import read_hub

        loaded = read_hub(repo, subset=subset, split=split, token=token, limit=limit)
        return cls(loaded, name=repo.rpartition("/")[2], source=f"hub:{repo}", format=format)

    @classmethod
    def from_trajectories(
        cls, trajectories: Iterable[Trajectory | TrajectoryGroup], *, name: str = "trajectories"
    ) -> Self:
        """Return one chat row a trajectory, tools kept; only answers that a model really gave, and gave whole, are trained.

        Each recorded answer is trained once, even where several trajectories begin with it. Warns once where a
        provider's model gave the answers. Raises :class:`DataError` if no trajectory has an answer to train.
        """
        from shadownb.engine.trajectories.rows import chat_rows

        return cls(readers.from_values(chat_rows(trajectories)), name=name, source="trajectories", format="chat")

    @classmethod
    def from_captures(
        cls, source: Any, *, where: Callable[[Trajectory], bool] | None = None, name: str = "captures"
    ) -> Self:
        """Return the episodes of a capture as chat rows; see :meth:`from_trajectories`.

        Calls that cannot be read (nested too deeply, no JSON) are in the report, each with the reason.

        Parameters
        ----------
        source
            A capture proxy, its store, the id or folder of a capture, or recorded calls.
        where
            Keeps the episodes for which it returns True, for example ``lambda t: t.reward > 0.5``.

        Raises
        ------
        DataError
            If the source is no capture, or no episode with an answer to train is left.
        """
        from shadownb.engine.trajectories.rows import chat_rows, trajectories_of

        episodes = trajectories_of(source)
        rows = chat_rows(trajectory for trajectory in episodes if where is None or where(trajectory))
        loaded = readers.from_values(rows)
        for number, (call, why) in enumerate(getattr(episodes, "unread", {}).items(), start=1):
            loaded.unreadable.append(BadRow(number, f"{call}: {why}", "unread call"))
        return cls(loaded, name=name, source="captures", format="chat")

    @classmethod
    def sample(cls, name: str = "support-triage", split: str = "train") -> Self:
        """Return a data set that ships with ShadowNB; ``split`` is ``train`` or ``heldout``.

        ``support-triage`` is a task to train on; ``general-text`` (held out only) is plain prose on everyday things, to see
        what a model forgets.
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
