"""Whatever holds rows as one Dataset: lists, data frames of pandas and polars, Arrow tables, the sets of ``datasets``.

What a value is is told by the module its class comes from, so that looking never imports a library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.data.sources import Sources

Rows = TypeVar("Rows", bound="Sources")

KINDS = {
    "dataset": "Dataset",
    "rows": "list of rows",
    "frame": "DataFrame",
    "polars": "DataFrame",
    "arrow": "Arrow table",
    "hf": "datasets.Dataset",
}
_LOOKED_AT = 50


def kind_of(value: Any) -> str | None:
    """Return which of :data:`KINDS` a value is, ``splits`` or ``stream`` for sets that need a choice first, else None."""
    if isinstance(value, (list, tuple)):
        return "rows" if value and any(isinstance(row, dict) for row in value[:_LOOKED_AT]) else None
    for kind in type(value).__mro__:
        package, name = kind.__module__.split(".")[0], kind.__name__
        found = _NAMED.get((package, name))
        if found is not None:
            return found
    return None


_NAMED = {
    ("shadownb", "Dataset"): "dataset",
    ("pandas", "DataFrame"): "frame",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "stream",
    ("pyarrow", "Table"): "arrow",
    ("datasets", "Dataset"): "hf",
    ("datasets", "DatasetDict"): "splits",
    ("datasets", "IterableDataset"): "stream",
    ("datasets", "IterableDatasetDict"): "splits",
}


def accepted(
    value: Any,
    into: type[Rows],
    what: str,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] | str = (),
) -> Rows:
    """Return what holds rows as a Dataset, which is the class ``into``; as :func:`shadownb.engine.data.as_dataset`."""
    kind = kind_of(value)
    if kind == "dataset":
        given: Rows = value
        return given.read_as(columns=columns, ignore=ignore) if columns or ignore else given
    reading: dict[str, Any] = {"columns": columns, "ignore": ignore}
    if isinstance(value, (list, tuple)):
        return into.from_list(value, name=name or "list", **reading)
    if kind == "frame":
        return into.from_pandas(value, name=name or "frame", **reading)
    if kind in ("polars", "arrow"):
        return into.from_arrow(value, name=name or "table", **reading)
    if kind == "hf":
        return into.from_datasets(value, name=name, **reading)
    if kind == "splits":
        return accepted(_only_split(value, what), into, what, name=name, **reading)
    if kind == "stream":
        raise DataError(
            f"{what} is a {type(value).__name__}, which has no known end.",
            why="Rows are counted, checked and shuffled before the first step.",
            fix="Take as many as you want: shadownb.Dataset.from_list(stream.take(10_000)); .collect() for a polars LazyFrame.",
        )
    raise DataError(
        f"{what} is a {type(value).__name__}, not data.",
        fix="Give a Dataset (Dataset.load(path) reads files), a list of rows, a data frame, or a datasets.Dataset.",
    )


def _only_split(value: Any, what: str) -> Any:
    if len(value) == 1:
        return next(iter(value.values()))
    names = ", ".join(map(repr, value))
    first = next(iter(value), "train")
    raise DataError(
        f"{what} is a {type(value).__name__} with the splits {names or '(none)'}.",
        fix=f"Choose one, for example {what}[{first!r}].",
    )
