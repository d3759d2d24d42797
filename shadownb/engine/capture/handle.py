"""Capture: what a recording is to its user, wherever it runs: in a thread of this process or in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.calls import Calls
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.store import CaptureStore

if TYPE_CHECKING:
    from collections.abc import Sequence


class Capture(ABC):
    """A recording.

    Attributes
    ----------
    id
        Its name below ``SHADOWNB_HOME/captures/``.
    store
        The :class:`CaptureStore` with its calls.
    """

    def __init__(self, folder: CaptureFolder, store: CaptureStore) -> None:
        self.files = folder
        self.id = folder.id
        self.store = store

    @property
    @abstractmethod
    def root_url(self) -> str:
        """The address without ``/v1``."""

    @property
    @abstractmethod
    def token(self) -> str:
        """What a client gives as its API key."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether requests are taken."""

    @abstractmethod
    def stop(self) -> None:
        """Stop recording."""

    @property
    def base_url(self) -> str:
        """The address for ``OPENAI_BASE_URL``; it works as ``ANTHROPIC_BASE_URL``, too."""
        return f"{self.root_url}/v1"

    @property
    def folder(self) -> Any:
        """The folder with everything recorded."""
        return self.files.path

    @property
    def calls(self) -> Calls:
        """The recorded calls, newest first, as a sequence that reads them when they are needed."""
        return Calls(self.store)

    def trajectories(self, **options: Any) -> Sequence[Any]:
        """Return the episodes that the calls form, as a sequence of :class:`Trajectory`.

        Examples
        --------
        >>> with snb.capture(model, name="tickets") as recorder:  # goes on with what the name holds
        ...     episodes = recorder.trajectories()
        >>> [episode.final_content() for episode in episodes]
        ['shipping', 'billing', 'account']
        """
        from shadownb.engine.trajectories import trajectories_of

        return trajectories_of(self.store, **options)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make OpenAI's and Anthropic's clients use this proxy; they contain the token."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self.token,
            "ANTHROPIC_BASE_URL": self.root_url,
            "ANTHROPIC_API_KEY": self.token,
        }

    @property
    def counters(self) -> dict[str, Any]:
        """What the recording counts beside the calls in its store; empty where it does not run."""
        return {}

    @property
    def not_recorded(self) -> int:
        """How many calls passed through and could not be stored: of this recording, or, once it is stopped, of the last one.

        Examples
        --------
        >>> with snb.capture(model) as proxy:
        ...     proxy.not_recorded
        0
        """
        found: int = self.counters.get("failed") or 0
        return found or int(self.files.facts.get("not_recorded") or 0)

    @property
    def _not_recorded_words(self) -> str:
        """The same in a sentence, with the reason where it is known."""
        count = self.not_recorded
        why = self.counters.get("last_error")
        what = f"{count:,} call{'' if count == 1 else 's'} passed through {self.id!r} and could not be stored"
        return f"{what}: {why}." if why else f"{what}."

    def _shown(self) -> dict[str, Any]:
        facts = self.files.facts
        summary = self.store.summary() if self.files.database.is_file() else {}
        cost = summary.get("cost")
        unpriced = f", {summary['unpriced']} calls without a price" if summary.get("unpriced") else ""
        why = self.counters.get("last_error")
        lost = {"not recorded": f"{self.not_recorded:,} calls{f': {why}' if why else ''}"} if self.not_recorded else {}
        unread = summary.get("statuses", {}).get("unread")
        if unread:
            lost["not readable"] = f"{unread:,} calls: stored, and in no trajectory"
        return {
            "state": f"recording at {self.base_url}" if self.is_running else "stopped",
            "upstream": facts.get("target") or "none",
            "key": f"from {facts['key_from']}" if facts.get("key_from") else "none",
            "local model": facts.get("model") or "none",
            "calls": summary.get("calls", 0),
            **lost,
            "tokens": f"{summary.get('prompt_tokens', 0)} in, {summary.get('completion_tokens', 0)} out",
            "cost": ("unknown" if cost is None else f"${cost:.4f}") + unpriced,
            "folder": self.files.path,
        }

    def __repr__(self) -> str:
        state = f"recording at {self.base_url}" if self.is_running else "stopped"
        number = self.store.count() if self.files.database.is_file() else 0
        lost = f", {self.not_recorded} not recorded" if self.not_recorded else ""
        return f"{type(self).__name__}({self.id!r}, {state}, {number} calls{lost})"

    def _repr_html_(self) -> str:
        from shadownb.engine.displays import facts_html

        return facts_html(f"Capture {self.id}", self._shown())
