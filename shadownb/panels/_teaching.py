"""What people do with episodes in the Trajectories panel: rate, correct, rank, take back; of a capture it is kept in its store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.trajectories import Trajectory, teaching
from shadownb.errors import ConfigError, DataError

from ._episodes import EpisodeIndex

USES = {"verdicts": "kto", "pairs": "dpo", "demonstrations": "lora"}
_LOOKED_AT, _MOST = 40, 9  # episodes with the same title; attempts that number keys can rank


class Teaching:
    """Clicks on the episodes of an index, and taking them back, the last one first."""

    def __init__(self, index: EpisodeIndex) -> None:
        self._index = index
        self._done: list[Callable[[], object]] = []

    def counts(self) -> dict[str, Any]:
        """Return how many episodes were rated, corrected and ranked, and whether a click of this panel can be taken back."""
        store, given = self._index.store, self._index.given
        if store is not None:
            return {**store.clicks(), "undo": bool(self._done)}
        return {
            "rated": sum(each.reward is not None for each in given),
            "corrected": sum(bool(each.metadata.get(teaching.CORRECTIONS)) for each in given),
            "ranked": sum(teaching.RANK in each.metrics for each in given),
            "undo": bool(self._done),
        }

    def rate(self, number: int, value: float | None, note: str) -> None:
        """Keep a rating, a note, or both."""
        episode, store = self._index.trajectory(number), self._index.store
        if store is not None:
            self._kept(store.score(episode, value, note=note))
            return
        before, logs = episode.reward, list(episode.logs)
        if value is not None:
            self._set_reward(number, episode, value)
        episode.logs += [note] if note.strip() else []

        def back() -> None:
            self._set_reward(number, episode, before)
            episode.logs[:] = logs

        self._done.append(back)

    def correct(self, number: int, answer: str) -> None:
        """Keep what should have been answered last."""
        episode, store = self._index.trajectory(number), self._index.store
        if store is not None:
            self._kept(store.correct(episode, answer))
            return
        if not answer.strip():
            raise ConfigError("The answer is empty.", fix="Write the answer that should have been given.")
        before = episode.metadata.get(teaching.CORRECTIONS)
        episode.metadata[teaching.CORRECTIONS] = {episode.sampled_turns[-1]: answer}
        self._done.append(lambda: _put_back(episode.metadata, teaching.CORRECTIONS, before))

    def rank(self, best_first: Sequence[Sequence[int]]) -> None:
        """Keep an order of attempts at one task, by their numbers; those in one list are equally good."""
        places = [[self._index.trajectory(int(number)) for number in members] for members in best_first]
        store = self._index.store
        if store is not None:
            self._kept(*store.rank(places))
            return
        if sum(map(len, places)) < 2:
            raise ConfigError("An order needs two attempts or more.", fix="Choose another attempt.")
        now = time.time()
        for place, members in enumerate(places, start=1):
            for episode in members:
                before = episode.metrics.get(teaching.RANK), episode.metadata.get("ranked_at")
                episode.metrics[teaching.RANK], episode.metadata["ranked_at"] = float(place), now
                self._done.append(lambda episode=episode, before=before: _unrank(episode, *before))
        backs = [self._done.pop() for members in places for _ in members]
        self._done.append(lambda: [back() for back in backs])

    def undo(self) -> None:
        """Take the last click back."""
        if self._done:
            self._done.pop()()
            if self._index.store is not None:
                self._index.store.index.catch_up()

    def correction(self, episode: Trajectory) -> str:
        """Return what somebody wrote in the place of the last answer; empty where nobody did."""
        if self._index.store is None:
            given = episode.metadata.get(teaching.CORRECTIONS) or {}
            return str(next(reversed(given.values()), ""))
        scores = self._index.store.scores(*episode.call_ids[-1:]) if episode.call_ids else {}
        notes = [score.note for given in scores.values() for score in given if score.name == "correction"]
        return notes[-1] if notes else ""

    def attempts(self, number: int, episode: Trajectory) -> list[dict[str, Any]]:
        """Return attempts at the same task, this one among them; empty where there is no other."""
        found = []
        for row in self._index.table.titled(self._index.table.find(number)["title"], limit=_LOOKED_AT):
            other = episode if row["id"] == number else self._index.trajectory(row["id"])
            if other.task_hash == episode.task_hash and len(found) < _MOST:
                rank = other.metrics.get(teaching.RANK)
                found.append({"id": row["id"], "last": row["last"], "score": other.reward, "rank": rank})
        return found if len(found) > 1 else []

    def rows(self, what: str) -> list[dict[str, Any]]:
        """Return rows to train on: ``verdicts``, ``pairs``, ``demonstrations``. Raises :class:`DataError` where there are none."""
        if what not in USES:
            raise ConfigError(f"what={what!r} is unknown.", fix=f"Use one of {', '.join(USES)}.")
        store, given = self._index.store, self._index.given
        if store is not None:
            made = {
                "verdicts": store.to_verdicts,
                "pairs": store.to_preferences,
                "demonstrations": store.to_demonstrations,
            }
            return list(made[what]())
        if not given:
            raise DataError("No capture is chosen.", fix="Choose one first.")
        functions = (teaching.verdict_rows, teaching.pair_rows, teaching.demonstration_rows)
        return dict(zip(USES, functions, strict=True))[what](given)

    def _kept(self, *scores: Any) -> None:
        store = self._index.store
        store.index.catch_up()
        self._done.append(lambda: store.take_back(*scores))

    def _set_reward(self, number: int, episode: Trajectory, value: float | None) -> None:
        episode.reward = value
        row = self._index.table.find(number)
        self._index.table.write([{**row, "score": value}], row)


def _unrank(episode: Trajectory, rank: float | None, at: float | None) -> None:
    _put_back(episode.metrics, teaching.RANK, rank)
    _put_back(episode.metadata, "ranked_at", at)


def _put_back(where: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        where.pop(key, None)
    else:
        where[key] = value
