"""Whether a student's answers shrink: on-policy distillation can find that the shortest answers are the easiest to agree on.

trl's DistillationTrainer (1.16), started from a raw base of 135M parameters, was at answers of two tokens within 30 steps: the
divergence a token was low, and the answers were empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from shadownb.engine.objectives.base import Remark

SHORT = 0.25  # share of the teacher's length
_SHRUNK = 0.5  # and of the student's own at the beginning, so that one that has always been short may go on
_BATCHES = 3
_CUT = 0.75


@dataclass
class LengthWatch:
    """Looks at each batch; its state is part of checkpoints.

    Attributes
    ----------
    first
        Mean tokens of the student's first batch of answers.
    expected, seen
        Mean tokens of the teacher's answers, or of what stands for them, and of how many.
    """

    first: float = 0.0
    expected: float = 0.0
    seen: int = 0
    short: int = 0
    cut: int = 0
    told: list[str] = field(default_factory=list)

    def expect(self, lengths: list[int]) -> None:
        """Take note of how long answers are meant to be."""
        if lengths:
            self.expected = (self.expected * self.seen + sum(lengths)) / (self.seen + len(lengths))
            self.seen += len(lengths)

    def look(self, length: float, clipped: float, step: int) -> Iterator[Remark]:
        """Take note of a batch of the student's answers; yields what is to be said of it, once.

        Parameters
        ----------
        length
            Mean tokens.
        clipped
            Share of answers that ran into max_completion_length.
        """
        self.first = self.first or length
        is_short = bool(self.seen) and length < SHORT * self.expected
        self.short = self.short + 1 if is_short and length < _SHRUNK * self.first else 0
        self.cut = self.cut + 1 if clipped >= _CUT else 0
        if is_short and self._new("answers-short"):
            yield Remark(
                f"The student's answers are short: {length:.0f} tokens at step {step}, the teacher's have {self.expected:.0f}.",
                why="The divergence is a mean over tokens, and short answers are the easiest to agree on; they end up empty.",
                fix="Give a larger off-policy share (lower lmbda), sft_weight=1, or train method='lora' on right answers first.",
                code="answers-short",
            )
        if self.cut >= _BATCHES and self._new("answers-cut"):
            yield Remark(
                f"{clipped:.0%} of the student's answers run into max_completion_length.",
                why="They end nowhere, so nothing is learned of when an answer is over.",
                fix="Raise max_completion_length, or give a larger off-policy share (lower lmbda).",
                code="answers-cut",
            )

    @property
    def collapsed(self) -> str:
        """Why the run is to end; empty where it is to go on."""
        if self.short < _BATCHES:
            return ""
        return (
            f"the student's answers shrank from {self.first:.0f} tokens to less than a quarter of the teacher's "
            f"{self.expected:.0f}"
        )

    def _new(self, code: str) -> bool:
        new = code not in self.told
        self.told += [code] if new else []
        return new

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return asdict(self)
