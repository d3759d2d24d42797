"""Where the rows of a Dataset come from: lists, frames, the hub, recordings, the sets that ship with ShadowNB, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.data import readers
from shadownb.engine.data.accepting import accepted
from shadownb.engine.data.base import Names, Row
from shadownb.engine.data.from_files import FromFiles
from shadownb.engine.data.loaded import Loaded, from_arrow, from_values
from shadownb.engine.data.report import BadRow
from shadownb.engine.privacy.rules import Rule, Rules
from shadownb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import datasets
    import pandas

    from shadownb.engine.trajectories import Trajectory, TrajectoryGroup

SAMPLES = {"support-triage": "support_triage", "general-text": "general_text"}


class Sources(FromFiles):
    """The constructors of a Dataset. Each one checks every row, and takes what :class:`CheckedRows` shares."""

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
