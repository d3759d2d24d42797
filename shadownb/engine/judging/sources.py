"""What can be judged, as groups of attempts at the same task: episodes, rows, the answers of an evaluation."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shadownb.engine.data import as_dataset, kind_of
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
from shadownb.engine.trajectories.group import group as grouped
from shadownb.errors import ConfigError, DataError

_GIVE = "Give trajectories, such as recording.trajectories(), rows with answers, or an evaluation."
_SEED = 0  # of what limit= leaves: the same in every call


def groups_of(attempts: Any, by: str = "task", limit: int | None = None) -> list[TrajectoryGroup]:
    """Return what is to be judged as groups, at most ``limit`` of them, drawn with a fixed seed and in their order."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"limit={limit!r} is no number of groups from 1 on.")
    found = _all_groups(attempts, by)
    if limit is None or limit >= len(found):
        return found
    drawn = random.Random(_SEED).sample(range(len(found)), limit)
    return [found[at] for at in sorted(drawn)]


def known_by(attempts: Any) -> str:
    """Return whose the rewards are that attempts come with."""
    if isinstance(attempts, Evaluation):
        return "grades of the suite"
    return "verdicts of their own" if kind_of(attempts) is not None else "people"


def _all_groups(attempts: Any, by: str) -> list[TrajectoryGroup]:
    if isinstance(attempts, TrajectoryGroup):
        return [attempts] if len(attempts) else []
    if isinstance(attempts, Evaluation):
        return grouped(of_evaluation(attempts), by=by, min_size=1)
    if callable(getattr(attempts, "trajectories", None)):
        attempts = attempts.trajectories()
    elif kind_of(attempts) is not None:
        return grouped(of_rows(as_dataset(attempts, "attempts").canonical_rows()), by=by, min_size=1)
    found = list(attempts)
    if found and all(isinstance(each, TrajectoryGroup) for each in found):
        return [each for each in found if len(each)]
    if not all(isinstance(each, Trajectory) for each in found):
        wrong = next(each for each in found if not isinstance(each, Trajectory))
        raise DataError(f"{wrong!r:.80} is no trajectory.", fix=_GIVE)
    return grouped(found, by=by, min_size=1)


def of_evaluation(evaluation: Evaluation) -> Iterator[Trajectory]:
    """Yield the answers of an evaluation; the reward of each is its grade, for the judge to be measured by."""
    for suite in evaluation.suites:
        for side in evaluation.sides:
            for graded in evaluation.items(suite, side):
                for sample, (turn, verdict) in enumerate(zip(graded.turns, graded.verdicts, strict=True)):
                    if turn is not None:
                        named = {"suite": suite, "side": side, "item": graded.item.id, "sample": sample}
                        yield Trajectory(
                            [*graded.item.messages, {"role": "assistant", "content": turn.raw or turn.content}],
                            tools=graded.item.tools,
                            reward=None if verdict is None else verdict["value"],
                            metadata=named,
                        )


def of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Trajectory]:
    """Yield the answers of rows; those of pairs and verdicts with the reward that these say."""
    for number, row in enumerate(rows):
        tools, prompt = row.get("tools"), list(row.get("prompt") or ())
        if "messages" in row:
            sides = [(list(row["messages"]), None)]
        elif "chosen" in row:
            sides = [([*prompt, *row["chosen"]], 1.0), ([*prompt, *row["rejected"]], 0.0)]
        elif "completion" in row:
            sides = [([*prompt, *row["completion"]], float(row["label"]))]
        else:
            raise DataError(f"Row {number} has no answer, so there is nothing to judge.", fix=_GIVE)
        for messages, reward in sides:
            yield Trajectory(messages, tools=tools, reward=reward, metadata={"row": number})
