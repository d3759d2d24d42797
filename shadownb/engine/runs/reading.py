"""All that is read of a run's folder: how it stands, its numbers by step, and here what came of it and what people noted.

It is there in any kernel at any time, and nothing here changes a run (:mod:`.results`); :class:`~.handle.Run` adds what does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shadownb.engine.runs import checkpoints, displays
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.figures import RunFigures
from shadownb.engine.runs.marks import Marks, read_marks
from shadownb.engine.runs.results import checkpoint_at, completions_of, result_of, samples_of
from shadownb.errors import CheckpointError


class RunReading(RunFigures):
    """What can be read of a run, from any kernel; see :class:`~shadownb.engine.runs.handle.Run`."""

    def result(self) -> Checkpoint | None:
        """Return the checkpoint it ended with, or None if there is none."""
        try:
            return result_of(self.folder)
        except CheckpointError:
            return None

    @property
    def checkpoint(self) -> Path | None:
        """Folder of the checkpoint it ended with, or None."""
        result = self.result()
        return result.path if result else None

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that still exist, in order of their steps."""
        return checkpoints.list_checkpoints(self.folder.checkpoints)

    def checkpoint_at(self, step: int | None = None) -> Checkpoint:
        """Return the checkpoint of a step; of the newest step for None.

        Raises
        ------
        CheckpointError
            There is no checkpoint of that step; the message lists the steps that have one.

        Examples
        --------
        >>> run.checkpoint_at().step, run.checkpoint_at(20).step
        (40, 20)
        >>> run.checkpoint_at(7)
        Traceback (most recent call last):
            ...
        shadownb.errors.CheckpointError: Run ... has no checkpoint of step 7.
        Next: Steps with one: 20, 40.
        """
        return checkpoint_at(self.folder, step)

    def samples(self) -> list[dict[str, Any]]:
        """Return the answers to the sample prompts at each evaluation: dicts of ``step`` and ``items`` (prompt, completion)."""
        return samples_of(self.folder, self.state)

    def completions(self, step: int | None = None) -> list[dict[str, Any]]:
        """Return the scored answers that a step of reinforcement trained on, group by group; None for the newest.

        Returns
        -------
        list of dict
            ``{"row", "prompt", "completions"}``, each of these ``{"completion", "reward", "rewards", "reasons", "advantage",
            "tokens", "finish_reason"}``: rewards and reasons by scorer, and None where one gave no reward.

        Raises
        ------
        RunError
            There are none of that step, with the steps that have some.

        Examples
        --------
        >>> def shortness(prompts, completions, **columns):
        ...     return [1 / (1 + len(said)) for said in completions]
        >>> asked = [{"prompt": "Where is my parcel?"}, {"prompt": "I paid twice."}]
        >>> options = {"method": "grpo", "num_generations": 2, "max_completion_length": 4, "max_steps": 1}
        >>> scored = model.train(asked, reward_fns=[shortness], start="base", background=False, **options)
        >>> [len(group["completions"]) for group in scored.completions()]
        [2, 2]
        """
        return completions_of(self.folder, self.state, step)

    @property
    def marks(self) -> Marks:
        """What people noted about it: tags, note, pinned, archived.

        Raises
        ------
        RunError
            The file is damaged.

        Examples
        --------
        >>> run.marks
        Marks(tags=(), note='', pinned=False, archived=False)
        """
        return read_marks(self.folder)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON-compatible values."""
        return displays.summary(self)

    def __repr__(self) -> str:
        return displays.one_line(self)

    def _repr_html_(self) -> str:
        return displays.run_html(self)
