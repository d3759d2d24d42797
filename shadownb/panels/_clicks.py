"""People's verdicts on judged attempts: which is asked about next, what was clicked, and what that says of the judge."""

from __future__ import annotations

import random
from typing import Any

from shadownb.engine.judging import JudgedGroups
from shadownb.engine.judging.disagreements import people_of
from shadownb.errors import DataError

from ._judged_view import numbers, shown

_SEED = 1  # of the draw: the same attempts are asked about after a restart
FEWEST = 8  # of which a judge is measured at all


class Clicks:
    """What people said of judged attempts, by number over all groups.

    Attributes
    ----------
    known
        What was said before: ratings in the recording, grades of a suite.
    given
        What was clicked here. Of a recording both are people's, and clicks are kept in its store.
    """

    def __init__(self, judged: JudgedGroups, store: Any = None) -> None:
        self._judged, self._store = judged, store
        self._places = numbers(judged)
        self.known = people_of(judged)
        self.given: dict[int, float] = {}
        self._skipped: list[int] = []
        self._done: list[tuple[int, Any]] = []
        self._order = [at for at, (group, place) in enumerate(self._places) if judged[group][place].reward is not None]
        random.Random(_SEED).shuffle(self._order)

    @property
    def by(self) -> str:
        """Whose verdicts the judge is measured by."""
        return "people" if self._store is not None or self.given or not self.known else self._judged.known_by

    @property
    def people(self) -> dict[int, float]:
        """The verdicts that the judge is measured by: clicks, and of a recording also what was rated before."""
        if self._store is not None:
            return {**self.known, **self.given}
        return dict(self.given or self.known)

    def attempt(self, number: int) -> Any:
        """Return an attempt. Raises :class:`DataError` if there is none of this number."""
        if not 0 <= number < len(self._places):
            raise DataError(f"There is no attempt {number}.", fix="Judge again.")
        group, place = self._places[number]
        return self._judged[group][place]

    def next(self) -> dict[str, Any]:
        """Return the attempt to ask about, without what the judge says of it; empty where all were asked about."""
        said = self.given if self._store is None else self.people
        left = [at for at in self._order if at not in said and at not in self._skipped]
        counts = {"given": len(said), "left": len(left), "undo": bool(self._done), "kept": self._store is not None}
        return {**counts, "number": left[0], **shown(self.attempt(left[0]))} if left else counts

    def rate(self, number: int, value: float) -> None:
        """Keep a verdict; of a recorded attempt in its store."""
        attempt = self.attempt(number)
        kept = self._store.score(attempt, value) if self._store is not None and attempt.call_ids else None
        self._done.append((number, (kept, self.given.get(number))))
        self.given[number] = value

    def skip(self, number: int) -> None:
        """Do not ask about an attempt."""
        self.attempt(number)
        self._skipped.append(number)
        self._done.append((number, None))

    def undo(self) -> None:
        """Take the last click back."""
        if not self._done:
            return
        number, done = self._done.pop()
        if done is None:
            self._skipped.remove(number)
            return
        kept, before = done
        if kept is not None:
            self._store.take_back(kept)
        if before is None:
            self.given.pop(number, None)
        else:
            self.given[number] = before


def measured(judged: JudgedGroups, clicks: Clicks, width: float) -> dict[str, Any]:
    """Return what people's verdicts say of the judge, in sentences, and how many more clicks would narrow the interval."""
    people = clicks.people
    try:
        found = judged.calibrate(people)
    except DataError as error:
        return {"enough": False, "given": len(people), "least": FEWEST, "why": error.what, "width": width}
    found = type(found)(**{**vars(found), "by": clicks.by})
    more = found.more_clicks(width)
    if more is None:
        words = f"Even with a verdict on all {found.items:,} items it would be wider than {width:g}."
    elif more == 0:
        words = f"It is no wider than {width:g}: no more clicks are needed for that."
    else:
        words = f"About {more:,} more clicks would narrow it to {width:g}."
    return {
        "enough": True,
        "given": found.people,
        "by": clicks.by,
        "sentences": found.sentences(),
        "chance": found.by_chance,
        "interval": [*found.interval],
        "people": [found.people_mean, *found.people_interval],
        "mean": found.mean,
        "judge": found.judge_mean,
        "width": width,
        "narrower": f"The interval is {found.width:.3f} wide. {words}",
    }
