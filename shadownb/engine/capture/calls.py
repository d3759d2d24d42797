"""Calls: a window on a store that reads only what is looked at."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from shadownb.engine.capture.call import Call

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.ports.capture_store import CaptureStore

_PAGE = 200
_SHOWN = 10


class Calls:
    """The calls of a store, newest first.

    ``len``, index, slice and iteration read from the store as they go; :meth:`filter` narrows the window.
    """

    def __init__(self, store: CaptureStore[Call], filters: dict[str, Any] | None = None) -> None:
        self.store = store
        self.filters = dict(filters or {})

    def filter(self, **filters: Any) -> Calls:
        """Return the calls that also fit ``filters`` (see ``CaptureStore.calls``)."""
        from shadownb.engine.capture.filters import where

        where(filters)  # a wrong name is said here, not where it is read
        return Calls(self.store, {**self.filters, **filters})

    def page(self, offset: int = 0, limit: int = 50) -> list[Call]:
        """Return ``limit`` calls from the ``offset``-th newest on."""
        return self.store.calls(offset=offset, limit=limit, newest_first=True, **self.filters)

    def summary(self) -> dict[str, Any]:
        """Return sums over the calls; see ``CaptureStore.summary``."""
        return self.store.summary(**self.filters)

    def __len__(self) -> int:
        return self.store.count(**self.filters)

    def __iter__(self) -> Iterator[Call]:
        filters = dict(self.filters)
        while page := self.store.calls(limit=_PAGE, newest_first=True, **filters):
            yield from page
            filters["before"] = page[-1].seq

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> list[Call]: ...
    def __getitem__(self, index: int | slice) -> Call | list[Call]:
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            if step < 0:
                raise ValueError("Calls are read newest first; reverse the list that a slice gives.")
            return self.page(begin, max(0, end - begin))[::step]
        place = index + len(self) if index < 0 else index
        page = self.page(place, 1) if place >= 0 else []
        if not page:
            raise IndexError(f"call {index} of {len(self)}")
        return page[0]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a call without bodies."""
        import pandas as pd

        rows = [
            {
                "id": call.id, "started_at": call.started_at, "session": call.session, "model": call.model,
                "status": call.status, "finish_reason": call.finish_reason, **_tokens(call), "cost": call.cost,
                "duration_s": call.duration_s, "title": call.title,
            }
            for call in self
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        narrowed = "".join(f", {name}={value!r}" for name, value in self.filters.items())
        return f"Calls({len(self)} of {self.store.id}{narrowed})"

    def _repr_html_(self) -> str:
        cells = [_row(call) for call in self.page(0, _SHOWN)]
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in cells
        )
        more = max(0, len(self) - len(cells))
        tail = f"<p>and {more} earlier</p>" if more else ""
        return f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tail}'


_COLUMNS = ("time", "model", "status", "tokens in", "tokens out", "cost", "seconds", "title")


def _tokens(call: Call) -> dict[str, Any]:
    usage = call.usage or {}
    return {"prompt_tokens": usage.get("prompt_tokens"), "completion_tokens": usage.get("completion_tokens")}


def _row(call: Call) -> list[str]:
    tokens = _tokens(call)
    values = (
        time.strftime("%H:%M:%S", time.localtime(call.started_at)),
        call.model,
        call.status,
        tokens["prompt_tokens"],
        tokens["completion_tokens"],
        None if call.cost is None else f"${call.cost:.4f}",
        None if call.duration_s is None else f"{call.duration_s:.2f}",
        call.title,
    )
    return ["" if value is None else str(value) for value in values]
