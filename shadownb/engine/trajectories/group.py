"""TrajectoryGroup: several attempts at one task, and what their comparison gives: advantages and preference pairs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from statistics import fmean, pstdev
from typing import Any

from shadownb.engine.trajectories.identity import PathHash, role_of
from shadownb.engine.trajectories.trajectory import Trajectory
from shadownb.errors import ConfigError, DataError, ShadowWarning

Row = dict[str, Any]


class TrajectoryGroup:
    """Several attempts at one task, to compare their rewards.

    Parameters
    ----------
    trajectories
        The attempts.
    metrics
        Named numbers of the group.
    logs
        Lines of text about the group.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Name a colour."}
    >>> attempts = [
    ...     snb.Trajectory([asked, {"role": "assistant", "content": text}], reward=reward)
    ...     for text, reward in (("blue", 1.0), ("seven", 0.0), ("red", 1.0))
    ... ]
    >>> group = snb.TrajectoryGroup(attempts)
    >>> group.task, group.rewards, len(group)
    ('Name a colour.', [1.0, 0.0, 1.0], 3)
    >>> group.best().final_content(), group.worst().final_content()
    ('blue', 'seven')
    >>> snb.TrajectoryGroup.from_dict(group.to_dict()).rewards
    [1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        trajectories: Iterable[Trajectory],
        *,
        metrics: dict[str, float] | None = None,
        logs: list[str] | None = None,
    ) -> None:
        self.trajectories = list(trajectories)
        self.metrics = dict(metrics or {})
        self.logs = list(logs or [])

    def __len__(self) -> int:
        return len(self.trajectories)

    def __iter__(self) -> Iterator[Trajectory]:
        return iter(self.trajectories)

    def __getitem__(self, index: int) -> Trajectory:
        return self.trajectories[index]

    @property
    def task(self) -> str:
        """The task of the first attempt, or "" if the group is empty."""
        return self.trajectories[0].task if self.trajectories else ""

    @property
    def rewards(self) -> list[float | None]:
        """The rewards in the order of the attempts; None for attempts that are not scored."""
        return [None if t.reward is None else float(t.reward) for t in self.trajectories]

    def best(self) -> Trajectory:
        """Return the attempt with the highest reward, the first of equals. Raises :class:`DataError` if none has one."""
        return max(self._scored(), key=_worth)

    def worst(self) -> Trajectory:
        """Return the attempt with the lowest reward, the first of equals. Raises :class:`DataError` if there is none."""
        return min(self._scored(), key=_worth)

    def _scored(self) -> list[Trajectory]:
        if not self.trajectories:
            raise DataError("This group has no trajectories.", fix="Add at least one attempt.")
        scored = [trajectory for trajectory in self.trajectories if trajectory.reward is not None]
        if not scored:
            raise DataError(f"None of the {len(self)} attempts has a reward.", fix="Set trajectory.reward of each.")
        return scored

    def advantages(self, *, scale: bool = True) -> list[float]:
        """Return each reward minus the mean of the group, as in GRPO (Shao et al., 2024).

        Parameters
        ----------
        scale
            Divide by the standard deviation of the group (population, not sample).

        Returns
        -------
        list of float
            One per attempt; exactly 0 if all rewards are equal. Attempts without a reward count in neither mean nor deviation,
            and get 0.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> attempts = [
        ...     snb.Trajectory([asked, {"role": "assistant", "content": text}], reward=reward)
        ...     for text, reward in (("blue", 1.0), ("seven", 0.0))
        ... ]
        >>> snb.TrajectoryGroup(attempts).advantages()
        [1.0, -1.0]
        >>> snb.TrajectoryGroup(attempts).advantages(scale=False)
        [0.5, -0.5]
        """
        rewards = self.rewards
        known = [reward for reward in rewards if reward is not None]
        if len(set(known)) < 2:
            return [0.0] * len(rewards)
        mean = fmean(known)
        spread = pstdev(known) if scale else 1.0
        return [0.0 if reward is None else (reward - mean) / spread for reward in rewards]

    def preference_rows(self, *, margin: float = 0.0, pairs: str = "all") -> list[Row]:
        """Return pairs of a better and a worse attempt, as rows for ``dpo``.

        Parameters
        ----------
        margin
            Only pairs whose rewards differ by more than this.
        pairs
            ``all`` pairs, or only ``best_worst``.

        Returns
        -------
        list of dict
            ``{"prompt", "chosen", "rejected", "tools"?, "margin"}``, each a list of messages; the largest margin
            first. The prompt is the part that both attempts share. Pairs that share nothing or are identical are left out, and
            so are attempts without a reward.

        Warns
        -----
        ShadowWarning
            Some attempts have a reward and some do not.

        Raises
        ------
        ConfigError
            ``margin`` is negative, or ``pairs`` is unknown.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> attempts = [
        ...     snb.Trajectory([asked, {"role": "assistant", "content": text}], reward=reward)
        ...     for text, reward in (("blue", 1.0), ("seven", 0.0))
        ... ]
        >>> pair = snb.TrajectoryGroup(attempts).preference_rows()[0]
        >>> pair["chosen"], pair["rejected"], pair["margin"]
        ([{'role': 'assistant', 'content': 'blue'}], [{'role': 'assistant', 'content': 'seven'}], 1.0)
        """
        if margin < 0:
            raise ConfigError(f"margin={margin!r} is negative.", fix="Use 0 or more, in units of the reward.")
        if pairs not in ("all", "best_worst"):
            raise ConfigError(f"pairs={pairs!r} is unknown.", fix="Use 'all' or 'best_worst'.")
        scored = [trajectory for trajectory in self.trajectories if trajectory.reward is not None]
        _tell_unscored(len(self) - len(scored), len(self))
        if len(scored) < 2:
            return []
        chosen = combinations(scored, 2) if pairs == "all" else iter([(self.best(), self.worst())])
        rows = [row for one, other in chosen if (row := _pair(one, other, margin))]
        return sorted(rows, key=lambda row: -float(row["margin"]))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"trajectories": [t.to_dict() for t in self.trajectories], "metrics": self.metrics, "logs": self.logs}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TrajectoryGroup:
        """Return the group of :meth:`to_dict`. Raises :class:`DataError` if the content is not one.

        Examples
        --------
        >>> content = snb.TrajectoryGroup([snb.Trajectory([{"role": "user", "content": "Hi"}], reward=0.5)]).to_dict()
        >>> snb.TrajectoryGroup.from_dict(content).rewards
        [0.5]
        """
        items = content.get("trajectories") if isinstance(content, dict) else None
        if not isinstance(items, list):
            raise DataError("A group needs trajectories, a list.", fix="Pass what to_dict() returned.")
        trajectories = [Trajectory.from_dict(item) for item in items]
        return cls(trajectories, metrics=content.get("metrics"), logs=content.get("logs"))

    def __repr__(self) -> str:
        rewards = [reward for reward in self.rewards if reward is not None]
        shown = f", rewards {min(rewards):g} to {max(rewards):g}" if rewards else ""
        shown += f", {len(self) - len(rewards)} without" if 0 < len(rewards) < len(self) else ""
        return f"TrajectoryGroup({len(self)} trajectories{shown})"

    def _repr_html_(self) -> str:
        from shadownb.engine.trajectories.display import group_html

        return group_html(self)


def _worth(scored: Trajectory) -> float:
    assert scored.reward is not None
    return float(scored.reward)


def _tell_unscored(missing: int, total: int) -> None:
    """Warn where some attempts have no reward; where none has one, nothing was scored, and the caller says so."""
    if 0 < missing < total:
        what = f"{missing:,} of {total:,} attempts have no reward and are left out: nothing has scored them."
        warnings.warn(what, ShadowWarning, stacklevel=4)


def _pair(one: Trajectory, other: Trajectory, margin: float) -> Row | None:
    difference = _worth(one) - _worth(other)
    if difference == 0 or abs(difference) <= margin:
        return None
    better, worse = (one, other) if difference > 0 else (other, one)
    shared = _shared(better.messages, worse.messages)
    if not shared:
        return None
    row: Row = {"prompt": better.messages[:shared], "chosen": better.messages[shared:]}
    row |= {"rejected": worse.messages[shared:], "margin": abs(difference)}
    tools = better.tools or worse.tools
    return {**row, "tools": tools} if tools else row


def _shared(one: list[Row], other: list[Row]) -> int:
    """Return how many messages begin both, up to a place where both go on with an assistant turn; 0 if there is none."""
    first, second = PathHash(), PathHash()
    shared = 0
    for left, right in zip(one, other, strict=False):
        if first.push(left) != second.push(right):
            break
        shared += 1
    if shared == len(one) == len(other):
        return 0  # the same episode twice teaches nothing
    while shared and not all(shared < len(side) and role_of(side[shared]) == "assistant" for side in (one, other)):
        shared -= 1
    return shared


def group(
    trajectories: Iterable[Trajectory], *, by: str | Callable[[Trajectory], Any] = "task", min_size: int = 2
) -> list[TrajectoryGroup]:
    """Group trajectories, for example by task; groups are in the order of their first members.

    Parameters
    ----------
    by
        ``task`` (what was asked, see :attr:`Trajectory.task_hash`), a key of ``metadata``, or a function of a trajectory.
        Trajectories without the key, or for which the function returns None, are left out.
    min_size
        Smaller groups are left out; a single attempt cannot be compared.

    Raises
    ------
    ConfigError
        ``min_size`` is below 1.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Name a colour."}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("blue", "red")]
    >>> [len(group) for group in snb.traces.group(attempts)]
    [2]
    """
    if min_size < 1:
        raise ConfigError(f"min_size={min_size!r} is below 1.", fix="Use 1 to keep every group.")
    members: dict[Any, list[Trajectory]] = {}
    for trajectory in trajectories:
        key = by(trajectory) if callable(by) else _key(trajectory, by)
        if key is not None:
            members.setdefault(key, []).append(trajectory)
    return [TrajectoryGroup(found) for found in members.values() if len(found) >= min_size]


def _key(trajectory: Trajectory, by: str) -> Any:
    return trajectory.task_hash if by == "task" else trajectory.metadata.get(by)


def weighted_rows(groups: Iterable[TrajectoryGroup]) -> list[Row]:
    """Return ``{"messages", "weight", "tools"?}`` for every attempt whose advantage, the weight, is not zero.

    Warns
    -----
    ShadowWarning
        Some attempts have a reward, and some have none, which are left out.

    Raises
    ------
    DataError
        If no group has attempts with different rewards.
    """
    rows: list[Row] = []
    groups = list(groups)
    rewards = [reward for each in groups for reward in each.rewards]
    _tell_unscored(rewards.count(None), len(rewards))
    for each in groups:
        for trajectory, advantage in zip(each, each.advantages(), strict=True):
            if advantage:
                row: Row = {"messages": trajectory.messages, "weight": advantage}
                rows.append({**row, "tools": trajectory.tools} if trajectory.tools else row)
    if not rows:
        raise DataError(
            "No group has attempts with different rewards, so there is nothing to learn from them.",
            why="An advantage is the distance from the mean of the group; equal rewards have none.",
            fix="Score the attempts, or add attempts at the same tasks that differ.",
        )
    return rows
