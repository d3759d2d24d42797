"""Where recorded calls are kept: what the store of one capture has to do.

Suite: tests/ports/test_capture_store.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar


class RecordedCall(Protocol):
    """One call as a store gives it: what any reader may count on."""

    @property
    def id(self) -> str: ...

    @property
    def seq(self) -> int:
        """The call's position: rises with each call of the store and is given to no other, also after calls are deleted."""


C = TypeVar("C", bound=RecordedCall)


class Conversation(Protocol):
    """Puts together what calls say that name an earlier answer instead of repeating it."""

    def up_to(self, call_id: str | None) -> list[dict[str, Any]]:
        """Return the turns up to and with a call, oldest first; what is not in the store is missing."""

    def is_whole(self, call_id: str | None) -> bool:
        """Return whether the turns up to a call are all in the store."""

    def items(self, call: Any) -> dict[str, dict[str, Any]]:
        """Return the items of earlier answers that a call names, by their ids, as far as they are in the store."""

    def forget(self) -> None:
        """Forget what was read: calls were deleted."""


class CaptureStore(Protocol[C]):
    """The recorded calls of one capture, which another process may be recording at this moment.

    A call is in it as a whole or not at all, and from then on for every reader. Reading keeps nobody from recording. Known
    keys are never in it: they are replaced before anything is written.

    Filters are ``session, model, dialect, route, status, finish_reason, id`` (a value or a list of them), ``since``, ``until``
    (seconds since 1970), ``min_cost`` and ``search``; any other raises ConfigError.
    """

    @property
    def id(self) -> str:
        """Name of the capture."""

    @property
    def path(self) -> Path:
        """Folder of the capture."""

    @property
    def history(self) -> Conversation:
        """The conversations of its calls."""

    def calls(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        offset: int = 0,
        newest_first: bool = False,
        **filters: Any,
    ) -> list[C]:
        """Return calls in the order they were recorded; ``after`` and ``before`` are positions, equally fast at any place."""

    def iterate(self, *, after: int = 0, **filters: Any) -> Iterator[C]:
        """Go through all calls, oldest first; memory does not grow with their number."""

    def find(self, call_id: str) -> C | None:
        """Return the call of an id, or None."""

    def find_response(self, response_id: str) -> C | None:
        """Return the newest call whose answer has this id, or None."""

    def count(self, **filters: Any) -> int:
        """Return the number of calls."""

    def sessions(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest sessions: ``session, calls, first_seq, last_seq``."""

    def summary(self, **filters: Any) -> dict[str, Any]:
        """Return sums: ``calls, statuses, prompt_tokens, completion_tokens, cost, unpriced, stored_bytes`` and ``models``."""

    def body(self, call_id: str) -> tuple[bytes, bytes, list[list[float]]]:
        """Return request bytes, answer bytes, and ``[milliseconds, size]`` of each piece of the answer; empty for no call."""

    def delete(self, *ids: str, **filters: Any) -> int:
        """Delete calls by id or by filters; returns how many. Without either nothing is deleted."""

    def clear(self) -> int:
        """Delete every call; returns how many."""

    def retain(
        self, *, max_age_s: float | None = None, max_calls: int | None = None, max_bytes: int | None = None
    ) -> int:
        """Delete the oldest calls until all limits hold; returns how many."""

    def close(self) -> None:
        """Let go of files; reading opens them again."""
