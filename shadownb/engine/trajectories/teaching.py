"""What people's clicks on episodes are good for in training: verdicts, pairs, demonstrations.

A verdict is the reward of an episode, a correction stands in ``metadata["corrections"]`` by the index of the message that it
replaces, a place among attempts at the same task is ``metrics["rank"]``, 1 for the best; attempts were ranked together where
``metadata["ranked_at"]`` is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from shadownb.engine.trajectories.group import TrajectoryGroup, group
from shadownb.engine.trajectories.identity import role_of
from shadownb.engine.trajectories.rows import chat_row, chat_rows, flatten, terms_notice
from shadownb.engine.trajectories.trajectory import Trajectory
from shadownb.errors import DataError, ShadowWarning

Row = dict[str, Any]
RANK, CORRECTIONS, VERDICTS = "rank", "corrections", "verdicts"
_CLICK = "Rate, correct or rank episodes first: in the Trajectories panel, or with store.score(...)."


def verdict_rows(trajectories: Iterable[Trajectory | TrajectoryGroup], *, threshold: float = 0.5) -> list[Row]:
    """Return ``{"prompt", "completion", "label", "tools"?}`` for each answer that was rated, as ``kto`` takes them.

    The completion is all that was done since the last message of the user before the rated answer. Answers that broke off are
    left out, with a warning: trained as good or bad, they would teach when to stop.

    Raises
    ------
    DataError
        No whole answer was rated.
    """
    found = list(flatten(trajectories))
    rows, broken = [], 0
    for trajectory, at, value in _rated(found):
        if at not in trajectory.trainable_turns:
            broken += 1
            continue
        begin = _asked_before(trajectory, at)
        row = {"prompt": trajectory.messages[:begin], "completion": trajectory.messages[begin : at + 1]}
        rows.append(_with_tools({**row, "label": value >= threshold}, trajectory))
    _tell(broken, "rated answers broke off")
    if not rows:
        raise DataError(f"None of {len(found):,} episodes has a whole answer that was rated.", fix=_CLICK)
    terms_notice(found)
    return rows


def pair_rows(trajectories: Iterable[Trajectory | TrajectoryGroup], *, margin: float = 0.0) -> list[Row]:
    """Return ``{"prompt", "chosen", "rejected", "margin", "tools"?}``, as ``dpo`` takes them.

    A correction is better than the answer that it replaces; of two attempts at one task the one that was ranked before the other
    is, and where they were not both ranked, the one with the higher rating.

    Parameters
    ----------
    margin
        Only ratings that differ by more than this make a pair.

    Raises
    ------
    DataError
        Nothing was corrected, and no two attempts at one task were told apart.
    """
    found = list(flatten(trajectories))
    rows = []
    for trajectory, at, text in _corrected(found):
        pair = {"prompt": trajectory.messages[:at], "chosen": [_said(text)], "rejected": [trajectory.messages[at]]}
        rows.append(_with_tools({**pair, "margin": 1.0}, trajectory))
    for attempts in group(found):
        for one, other in combinations(attempts, 2):
            if _ranked_together(one, other):
                both = [replace(each, reward=-each.metrics[RANK]) for each in (one, other)]
                rows += TrajectoryGroup(both).preference_rows()
            elif one.reward is not None and other.reward is not None:
                rows += TrajectoryGroup([one, other]).preference_rows(margin=margin)
    if not rows:
        raise DataError(
            f"None of {len(found):,} episodes was corrected, and no two attempts at one task were ranked or rated differently.",
            fix=_CLICK,
        )
    terms_notice(found)
    return rows


def demonstration_rows(
    trajectories: Iterable[Trajectory | TrajectoryGroup], *, threshold: float | None = 0.5
) -> list[Row]:
    """Return chat rows of what people wrote in the place of an answer, and of the episodes that they rated good.

    Of a corrected episode the correction alone is trained; of a good one all whole answers up to the rated one.

    Parameters
    ----------
    threshold
        The least rating of a good one; None takes corrections alone.

    Raises
    ------
    DataError
        Nothing was corrected or found good.
    """
    found = list(flatten(trajectories))
    rows, corrected = [], set()
    for trajectory, at, text in _corrected(found):
        corrected.add(_place(trajectory, at))
        episode = replace(trajectory, messages=[*trajectory.messages[:at], _said(text)], calls=[])
        rows.append(chat_row(episode, {at}))
    good = []
    for trajectory, at, value in _rated(found) if threshold is not None else ():
        if threshold is not None and value >= threshold and _place(trajectory, at) not in corrected:
            calls = [call for call in trajectory.calls if call.message <= at]
            good.append(replace(trajectory, messages=trajectory.messages[: at + 1], calls=calls))
    whole = [each for each in good if each.trainable_turns]
    _tell(len(good) - len(whole), "episodes that were rated good have no whole answer")
    rows += chat_rows(whole) if whole else []
    if not rows:
        raise DataError(f"None of {len(found):,} episodes was corrected, or rated good and whole.", fix=_CLICK)
    return rows


def _rated(trajectories: Iterable[Trajectory]) -> Iterator[tuple[Trajectory, int, float]]:
    """Yield each rated answer once, with the index of its message; an episode's own rating is of its last answer."""
    seen: set[Any] = set()
    for trajectory in trajectories:
        given = trajectory.metadata.get(VERDICTS)
        turns = trajectory.sampled_turns
        if given is None and trajectory.reward is not None and turns:
            given = {turns[-1]: float(trajectory.reward)}
        for at, value in (given or {}).items():
            if (place := _place(trajectory, int(at))) not in seen:
                seen.add(place)
                yield trajectory, int(at), float(value)


def _corrected(trajectories: Iterable[Trajectory]) -> Iterator[tuple[Trajectory, int, str]]:
    seen: set[Any] = set()
    for trajectory in trajectories:
        for at, text in (trajectory.metadata.get(CORRECTIONS) or {}).items():
            if (place := _place(trajectory, int(at))) not in seen:
                seen.add(place)
                yield trajectory, int(at), str(text)


def _ranked_together(one: Trajectory, other: Trajectory) -> bool:
    return all(RANK in each.metrics for each in (one, other)) and one.metadata.get("ranked_at") == other.metadata.get(
        "ranked_at"
    )


def _place(trajectory: Trajectory, at: int) -> Any:
    """Return what names an answer: branches share the answers that they begin with."""
    call = next((call for call in trajectory.calls if call.message == at), None)
    return (call.id, call.choice) if call is not None else (id(trajectory), at)


def _asked_before(trajectory: Trajectory, at: int) -> int:
    """Return where what was done about the last question of the user begins."""
    last = next((n for n in range(at, -1, -1) if role_of(trajectory.messages[n]) == "user"), None)
    return at if last is None else last + 1


def _said(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _with_tools(row: Row, trajectory: Trajectory) -> Row:
    return {**row, "tools": trajectory.tools} if trajectory.tools else row


def _tell(count: int, what: str) -> None:
    if count:
        warnings.warn(f"{count:,} {what} and are left out.", ShadowWarning, stacklevel=4)
