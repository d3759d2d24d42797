"""TaughtCalls: what people do with the episodes of a capture, beside rating them: correct and rank, take back, and train on it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.feedback import CORRECTION, RANK, REWARD, Score, checked
from shadownb.engine.capture.judged import JudgedCalls
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.trajectories.trajectory import Trajectory


class TaughtCalls(JudgedCalls):
    """Calls with what people made of them. It is kept beside the scores, and goes with the calls when these are deleted."""

    def correct(self, call: str | Trajectory, answer: str) -> Score:
        """Keep the answer that should have been given, to a call or as the last one of an episode; the newest counts.

        Parameters
        ----------
        call
            As :meth:`score` takes it.
        answer
            The whole answer. What the recording removes (keys, and what ``redact=`` named) is removed here, too.

        Raises
        ------
        DataError
            There is no such call.
        ConfigError
            The answer is empty, or longer than 200,000 characters.

        Examples
        --------
        >>> episode = next(store.trajectories())
        >>> store.correct(episode, "returns").note
        'returns'
        >>> store.to_preferences()[0]["chosen"]
        [{'role': 'assistant', 'content': 'returns'}]
        """
        if not isinstance(answer, str) or not answer.strip():
            raise ConfigError("answer= is empty.", fix="Give the answer that should have been given.")
        return self._keep([checked(self._call_of(call), None, CORRECTION, answer)])[0]

    def rank(self, best_first: Sequence[str | Trajectory | Sequence[str | Trajectory]]) -> list[Score]:
        """Keep which of several attempts at one task is better, the best first; those in an inner list are equally good.

        Raises
        ------
        ConfigError
            There are fewer than two, one stands twice, or they are attempts at different tasks.
        DataError
            There is no such call.

        Examples
        --------
        >>> with snb.capture(model, name="ranked") as proxy:
        ...     client = snb.Endpoint(proxy.base_url, model="tiny", api_key=proxy.token)
        ...     for seed in (1, 2):
        ...         asked = [{"role": "user", "content": "Where is my parcel?"}]
        ...         reply = client.chat(asked, seed=seed, temperature=1.0, max_new_tokens=4)
        >>> attempts = list(proxy.store.trajectories())
        >>> [(score.name, score.value) for score in proxy.store.rank(attempts)]
        [('rank', 1.0), ('rank', 2.0)]
        """
        from shadownb.engine.trajectories.trajectory import Trajectory

        places = [[each] if isinstance(each, str | Trajectory) else list(each) for each in best_first]
        flat = [(place, each) for place, members in enumerate(places, start=1) for each in members]
        ids = [self._call_of(each) for _, each in flat]
        if len(ids) < 2 or len(set(ids)) < len(ids):
            raise ConfigError(
                f"best_first= has {len(set(ids))} different attempts.", fix="Give two or more, each once."
            )
        tasks = {each.task_hash for _, each in flat if isinstance(each, Trajectory)}
        if len(tasks) > 1:
            raise ConfigError(
                f"best_first= has attempts at {len(tasks)} different tasks.", fix="Rank attempts at the same task."
            )
        now = time.time()
        scores = [replace(checked(call, place, RANK, ""), at=now) for call, (place, _) in zip(ids, flat, strict=True)]
        return self._keep(scores)

    def take_back(self, *scores: Score) -> int:
        """Forget scores, corrections or ranks as if they had not been given; returns how many there were.

        Examples
        --------
        >>> score = store.score(store.calls(limit=1)[0].id, 0.0)
        >>> store.take_back(score), store.scores()
        (1, {})
        """
        taken = 0
        with self.writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for score in scores:
                known = (score.call, score.name, score.at)
                row = connection.execute(
                    "SELECT MAX(n) FROM feedback WHERE id = ? AND name = ? AND at = ?", known
                ).fetchone()
                if row[0] is not None:
                    connection.execute("DELETE FROM feedback WHERE n = ?", (row[0],))
                    # A row that says nothing: whoever keeps an index looks at this call's scores again.
                    connection.execute(
                        "INSERT INTO feedback (id, name, value, note, at) VALUES (?, ?, NULL, '', ?)",
                        (score.call, score.name, time.time()),
                    )
                    taken += 1
            connection.execute("COMMIT")
        return taken

    def clicks(self) -> dict[str, int]:
        """Return how many calls were rated, corrected and ranked.

        Examples
        --------
        >>> _ = store.score(store.calls(limit=1)[0].id, 1.0)
        >>> store.clicks()
        {'rated': 1, 'corrected': 0, 'ranked': 0}
        """
        asked = {"rated": REWARD, "corrected": CORRECTION, "ranked": RANK}
        found: dict[str, int] = {}
        if self.database.name() is not None:
            query = "SELECT name, COUNT(DISTINCT id) FROM feedback WHERE value IS NOT NULL OR name = ? AND note != '' GROUP BY name"
            found = dict(tuple(row) for row in self.read(query, [CORRECTION]))
        return {word: found.get(name, 0) for word, name in asked.items()}

    def taught(self) -> Iterator[Trajectory]:
        """Yield the episodes that were rated, corrected or ranked.

        Ratings are in ``metadata["verdicts"]`` and corrections in ``metadata["corrections"]``, each by the index of the message;
        when it was ranked last in ``metadata["ranked_at"]``, the same of all that were ranked together.

        Examples
        --------
        >>> list(store.taught())
        []
        """
        scores = self.scores()
        for episode in self.trajectories() if scores else ():
            verdicts: dict[int, float] = {}
            corrections: dict[int, str] = {}
            ranked_at = None
            for call in episode.calls:
                for score in scores.get(call.id, ()):
                    if score.name == REWARD and score.value is not None:
                        verdicts[call.message] = score.value
                    elif score.name == CORRECTION:
                        corrections[call.message] = score.note
                    elif score.name == RANK:
                        ranked_at = score.at
            if verdicts or corrections or ranked_at is not None:
                known = {"verdicts": verdicts, "corrections": corrections, "ranked_at": ranked_at}
                yield replace(episode, metadata={**episode.metadata, **known})

    # -- what is trained on it --------------------------------------------------------------------------------------

    def to_verdicts(self, *, threshold: float = 0.5) -> list[dict[str, Any]]:
        """Return rated answers as rows for ``method="kto"``; those of at least ``threshold`` are good ones.

        Raises
        ------
        DataError
            No whole answer was rated.

        Examples
        --------
        >>> _ = store.score(next(store.trajectories()), 1.0)
        >>> [(row["completion"][0]["content"], row["label"]) for row in store.to_verdicts()]
        [('shipping', True)]
        """
        from shadownb.engine.trajectories.teaching import verdict_rows

        return verdict_rows(self.taught(), threshold=threshold)

    def to_preferences(self, *, margin: float = 0.0) -> list[dict[str, Any]]:
        """Return corrected answers, and attempts that were ranked or rated differently, as pairs for ``method="dpo"``.

        Raises
        ------
        DataError
            There is no pair.

        Examples
        --------
        >>> _ = store.correct(next(store.trajectories()), "returns")
        >>> store.to_preferences()[0]["rejected"][0]["content"]
        'shipping'
        """
        from shadownb.engine.trajectories.teaching import pair_rows

        return pair_rows(self.taught(), margin=margin)

    def to_demonstrations(self, *, threshold: float | None = 0.5) -> list[dict[str, Any]]:
        """Return corrections, and episodes that were rated at least ``threshold``, as chat rows; None takes corrections alone.

        Raises
        ------
        DataError
            Nothing was corrected or found good.

        Examples
        --------
        >>> _ = store.correct(next(store.trajectories()), "returns")
        >>> store.to_demonstrations()[0]["messages"][-1]
        {'role': 'assistant', 'content': 'returns'}
        """
        from shadownb.engine.trajectories.teaching import demonstration_rows

        return demonstration_rows(self.taught(), threshold=threshold)
