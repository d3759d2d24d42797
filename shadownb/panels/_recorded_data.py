"""Recordings as data: a whole capture, the episodes that a search finds, one episode, or the calls that a filter leaves.

A choice is ``capture:ID`` or ``capture:ID#{...}``, the selection as JSON: ``query`` as the Trajectories panel has it, ``call`` (the
id of a call that an episode ends with), or ``calls`` (filters of :meth:`CaptureStore.calls`). What is opened and the code that is
shown for it say the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.errors import DataError

from . import _episode_words
from ._stores import capture_choices

_LISTED = 20  # captures; any other is opened from its own panel
_KINDS = ("query", "call", "calls")


@dataclass(frozen=True)
class Recorded:
    """What of which recording is meant.

    Attributes
    ----------
    capture
        Id of the recording.
    selection
        Empty for all of it, else one of ``query``, ``call``, ``calls`` with its value.
    """

    capture: str
    selection: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, choice: str) -> Recorded:
        """Read a choice. Raises DataError where it is none."""
        name, _, text = choice.removeprefix("capture:").partition("#")
        try:
            selection = json.loads(text) if text else {}
        except ValueError:
            selection = None
        if not isinstance(selection, dict) or any(kind not in _KINDS for kind in selection):
            raise DataError(f"{choice!r} is no selection of a recording.", fix="Choose the recording again.")
        return cls(name, selection)

    @property
    def choice(self) -> str:
        """The choice id; the same selection has the same."""
        if not self.selection:
            return f"capture:{self.capture}"
        return f"capture:{self.capture}#{json.dumps(self.selection, sort_keys=True, ensure_ascii=False)}"

    @property
    def title(self) -> str:
        """What it is called in a list."""
        if "call" in self.selection:
            return f"{self.capture}: one episode"
        if "calls" in self.selection:
            return f"{self.capture}: calls with {_said(self.selection['calls'])}"
        found = {name: value for name, value in self.selection.get("query", {}).items() if name in _SAID and value}
        return f"{self.capture}: episodes with {_said(found)}" if found else f"{self.capture}: all episodes"

    def open(self) -> Any:
        """Return the Dataset; reads calls, so it may take a while.

        Raises
        ------
        DataError
            The recording is gone, or nothing of it can be trained on.
        """
        from shadownb.engine.capture import CaptureStore
        from shadownb.engine.data import Dataset

        store = CaptureStore.open(self.capture)
        if "calls" in self.selection:
            calls = list(store.iterate(**self.selection["calls"]))
            return Dataset.from_captures(calls, name=self.capture)
        return Dataset.from_captures(store, where=self._where(), name=self.capture)

    def as_python(self) -> str:
        """Return the code that opens the same."""
        source = json.dumps(self.capture)
        if "calls" in self.selection:
            filters = ", ".join(f"{name}={value!r}" for name, value in self.selection["calls"].items())
            source = f"list(shadownb.captures.open({source}).iterate({filters}))".replace("'", '"')
            return f"shadownb.Dataset.from_captures({source})"
        if "call" in self.selection:
            return f"shadownb.Dataset.from_captures({source}, where=lambda t: {json.dumps(self.selection['call'])} in t.call_ids)"
        return f"shadownb.Dataset.from_captures({source}{_episode_words.as_filter(self._query)})"

    @property
    def _query(self) -> dict[str, Any]:
        return {**_episode_words.NO_FILTER, **self.selection.get("query", {})}

    def _where(self) -> Callable[[Any], bool] | None:
        call = self.selection.get("call")
        if call is not None:
            return lambda trajectory: call in trajectory.call_ids
        return _episode_words.finds(self._query)


_SAID = ("search", "kind", "model", "tool", "min_messages")


def _said(filters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in filters.items())


def recorded_choices() -> list[dict[str, Any]]:
    """Return the recordings that can be picked as data, newest first."""
    return [
        {"id": f"capture:{each['id']}", "title": f"{each['title']} (all episodes)", "group": "Recordings"}
        for each in capture_choices()[:_LISTED]
    ]
