"""What preferences are measured against: log-probabilities of the model as the run found it, computed once.

So after an SFT run the reference is the SFT policy and not the bare base. It is kept in every checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel
from safetensors import safe_open
from safetensors.numpy import save_file

from shadownb.engine.config_options import option
from shadownb.engine.objectives.base import Chart, Objective, Score
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.errors import CheckpointError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens

REFERENCE = "reference.safetensors"
REWARDS = Chart(
    "rewards",
    "Reward margin",
    (("rewards_margin", "margin"), ("rewards_chosen", "chosen"), ("rewards_rejected", "rejected")),
)


class ReferenceOptions(BaseModel):
    """What is chosen of a reference."""

    beta: float = option(
        0.1, "How strongly the model is held to the reference; higher values keep it closer.", "preference", gt=0
    )


class Referenced(Objective):
    """What DPO and KTO share: the reference's log-probabilities of an example's two sides."""

    own: ReferenceOptions

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self._reference: dict[str, np.ndarray[Any, Any]] = {}  # of each split, shape (examples, sides)
        self._scored: dict[str, str] = {}  # sha256 of the examples that the reference was computed on
        self._resumed = False
        self._numbers: dict[str, tuple[str, int]] = {}  # where each example's is

    def bundles(self, examples: Sequence[Example]) -> list[tuple[Rendered, ...]]:
        """Return the rows of each example that the reference scores."""
        return [example.rows for example in examples]

    def prepare(
        self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, needed: Sequence[int], held_out: bool
    ) -> None:
        """Score the needed examples, unless a checkpoint had the scores of these very examples."""
        split = "eval" if held_out else "train"
        self._numbers.update({example.id: (split, number) for number, example in enumerate(examples)})
        digest = self._digest(examples)
        if self._resumed:
            if self._scored.get(split) != digest:
                raise self._of_other_rows(held_out)
            if np.isnan(self._reference[split][list(needed)]).any():
                raise self._of_fewer_rows()
            return
        self._scored[split] = digest
        found = np.full((len(examples), 2), np.nan, np.float32)  # a run of less than an epoch does not wait for all
        for positions, tokens in score(self.bundles([examples[number] for number in needed])):
            sums, start = tokens.by_row(tokens.logp), 0
            for number in (needed[position] for position in positions):
                found[number] = ops.listed(self.sides(ops, sums[start:], examples[number]))
                start += len(self.bundles([examples[number]])[0])
        self._reference[split] = found

    def sides(self, ops: Ops[Any], sums: Any, example: Example) -> Any:
        """Return the log-probabilities of an example's sides from the sums of its rows (and of those behind it)."""
        first, second = len(example.sequences), len(example.rows)
        return ops.stack([ops.sum(sums[:first]), ops.sum(sums[first:second])])

    def reference(self, ops: Ops[Any], examples: Sequence[Example]) -> Any:
        """Return the reference's log-probabilities, shape (examples, sides)."""
        places = [self._numbers[example.id] for example in examples]
        return ops.numbers([self._reference[split][number].tolist() for split, number in places])

    def policy(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example]) -> Any:
        """Return the model's own log-probabilities, shape (examples, sides)."""
        sums = tokens.by_row(tokens.logp)
        found, start = [], 0
        for example in examples:
            found.append(self.sides(ops, sums[start:], example))
            start += len(example.rows)
        return ops.stack(found)

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of pairs or answers."""
        return len(examples)

    def save(self, folder: Path) -> None:
        """Write the reference's log-probabilities, and of which rows they are."""
        save_file(self._reference, folder / REFERENCE, metadata={"scored": json.dumps(self._scored)})

    def load(self, folder: Path) -> bool:
        """Read them; returns whether they were there."""
        if not (folder / REFERENCE).is_file():
            return False
        with safe_open(folder / REFERENCE, framework="np") as file:
            self._reference = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self._scored = json.loads((file.metadata() or {}).get("scored", "{}"))
        self._resumed = True
        return True

    def _digest(self, examples: Sequence[Example]) -> str:
        """Return the sha256 of everything that the reference's log-probabilities of these examples depend on."""
        found = hashlib.sha256()
        for example, rows in zip(examples, self.bundles(examples), strict=True):
            found.update(array("q", [len(example.sequences), len(rows)]).tobytes())
            for row in rows:
                found.update(array("q", [len(row.input_ids), *row.input_ids, *row.labels]).tobytes())
        return found.hexdigest()

    def _of_other_rows(self, held_out: bool) -> CheckpointError:
        return CheckpointError(
            f"The checkpoint's reference is of other {'evaluation ' if held_out else ''}rows than these.",
            why=f"method={self.config.method!r} computes it once, with the model as the checkpoint's run found it.",
            fix="Give the rows, the evaluation rows and the max_length of that run, or load the checkpoint with "
            "shadownb.load() and train on without resume_from_checkpoint.",
        )

    def _of_fewer_rows(self) -> CheckpointError:
        return CheckpointError(
            "The checkpoint's reference lacks rows that the further steps would see.",
            why=f"method={self.config.method!r} computes it once, for the rows of the steps that its run had planned.",
            fix="Load the checkpoint with shadownb.load() and train on without resume_from_checkpoint.",
        )


def answer(
    renderer: Any, row: dict[str, Any], reply: list[dict[str, Any]], max_length: int | None
) -> tuple[Rendered, ...]:
    """Return the sequences of a prompt with one of its answers; prompts are rendered exactly as at inference."""
    extra = {"tools": row["tools"]} if "tools" in row else {}
    conversation = {"messages": row["prompt"] + reply, "train_from": len(row["prompt"]), **extra}
    rendered: tuple[Rendered, ...] = renderer.render_all(conversation, max_length=max_length)
    return rendered
