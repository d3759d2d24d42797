"""Preferences: DPO over pairs and KTO over single answers with a verdict.

The formulas are those of trl's trainers (a test compares loss and gradients with them); what is ours is the way the
log-probabilities are computed: a pair's prompt once, logits only at the answers, the reference once before the first
step. The reference is the model as the run found it, so after an SFT run it is the SFT policy and not the bare base.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import logsigmoid

from shadownb.engine.backends.torch.objectives.base import Objective, Scored, sum_by_row
from shadownb.engine.backends.torch.pieces import Piece
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import CheckpointError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

REFERENCE = "reference.safetensors"


class Preference(Objective):
    """What DPO and KTO share: log-probabilities of the reference, computed once and kept in every checkpoint."""

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self._reference: dict[str, torch.Tensor] = {}
        self._scored: dict[str, str] = {}  # sha256 of the examples that the reference was computed on
        self._resumed = False
        self._numbers: dict[int, tuple[str, int]] = {}

    def bundles(self, examples: Sequence[Example]) -> list[tuple[Rendered, ...]]:
        """Return the rows of each example that the reference scores."""
        return [example.rows for example in examples]

    def prepare(self, examples: Sequence[Example], scored: Scored, *, needed: Sequence[int], held_out: bool) -> None:
        split = "eval" if held_out else "train"
        self._number(examples, split)
        digest = self._digest(examples)
        if self._resumed:
            if self._scored.get(split) != digest:
                raise self._of_other_rows(held_out)
            if bool(self._reference[split][list(needed)].isnan().any()):
                raise self._of_fewer_rows()
            return
        self._scored[split] = digest
        found = torch.full((len(examples), 2), torch.nan)  # a run of less than an epoch does not wait for all
        for positions, sums in scored(self.bundles([examples[number] for number in needed])):
            start = 0
            for number in (needed[position] for position in positions):
                found[number] = self._sides(sums[start:], examples[number]).cpu()
                start += len(self.bundles([examples[number]])[0])
        self._reference[split] = found

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
            fix="Give the rows, the evaluation rows and the max_seq_length of that run, or load the checkpoint with "
            "shadownb.load() and train on without resume_from_checkpoint.",
        )

    def _of_fewer_rows(self) -> CheckpointError:
        return CheckpointError(
            "The checkpoint's reference lacks rows that the further steps would see.",
            why=f"method={self.config.method!r} computes it once, for the rows of the steps that its run had planned.",
            fix="Load the checkpoint with shadownb.load() and train on without resume_from_checkpoint.",
        )

    def _number(self, examples: Sequence[Example], split: str) -> None:
        for number, example in enumerate(examples):
            self._numbers[id(example)] = (split, number)

    def _sides(self, sums: torch.Tensor, example: Example) -> torch.Tensor:
        """Return the log-probabilities of an example's sides from the sums of its rows (and of those behind it)."""
        first, second = len(example.sequences), len(example.rows)
        return torch.stack((sums[:first].sum(), sums[first:second].sum()))

    def reference(self, examples: Sequence[Example], device: torch.device) -> torch.Tensor:
        """Return the reference's log-probabilities, shape (examples, sides)."""
        found = [self._numbers[id(example)] for example in examples]
        return torch.stack([self._reference[split][number] for split, number in found]).to(device)

    def policy(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example]) -> torch.Tensor:
        """Return the model's own log-probabilities, shape (examples, sides)."""
        sums = sum_by_row(-nll, piece)
        found, start = [], 0
        for example in examples:
            found.append(self._sides(sums[start:], example))
            start += len(example.rows)
        return torch.stack(found)

    def count(self, examples: Sequence[Example]) -> int:
        return len(examples)

    def write_state(self, folder: Path) -> None:
        save_file(self._reference, folder / REFERENCE, metadata={"scored": json.dumps(self._scored)})

    def load_state(self, folder: Path) -> bool:
        if not (folder / REFERENCE).is_file():
            return False
        with safe_open(folder / REFERENCE, framework="pt") as file:
            self._reference = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self._scored = json.loads((file.metadata() or {}).get("scored", "{}"))
        self._resumed = True
        return True


class Dpo(Preference):
    """Direct preference optimisation (Rafailov et al., 2023), with trl's sigmoid, hinge and ipo losses, alone or with sft."""

    unit = "pairs"
    _sft_scale = 0.0  # of the step

    def begin(self, examples: Sequence[Example], scored: Scored, *, held_out: bool) -> None:
        # trl's "sft" is a mean over the tokens of the step's better answers, while what is summed here is divided by pairs.
        tokens = sum(row.predicted_tokens for example in examples for row in example.sequences)
        self._sft_scale = self.config.sft_weight * len(examples) / max(1, tokens)

    def loss(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example], *, held_out: bool) -> torch.Tensor:
        policy = self.policy(nll, piece, examples)
        preferred = self._preferred(policy - self.reference(examples, nll.device), examples)
        return preferred - self._sft_scale * policy[:, 0].sum() if self._sft_scale else preferred

    def _preferred(self, ratios: torch.Tensor, examples: Sequence[Example]) -> torch.Tensor:
        """Return the summed preference loss of (pairs, sides) log-ratios to the reference."""
        rewards = self.config.beta * ratios.detach()
        self.note("rewards_chosen", rewards[:, 0])
        self.note("rewards_rejected", rewards[:, 1])
        self.note("rewards_margin", rewards[:, 0] - rewards[:, 1])
        self.note("rewards_accuracy", (rewards[:, 0] > rewards[:, 1]).float())
        margin = ratios[:, 0] - ratios[:, 1]
        if self.config.dpo_loss == "sigmoid":
            return -logsigmoid(self.config.beta * margin).sum()
        if self.config.dpo_loss == "hinge":
            return torch.relu(1 - self.config.beta * margin).sum()
        lengths = ratios.new_tensor(
            [[sum(row.predicted_tokens for row in side) for side in (e.sequences, e.rejected)] for e in examples]
        )
        means = ratios / lengths.clamp(min=1)
        return ((means[:, 0] - means[:, 1] - 1 / (2 * self.config.beta)) ** 2).sum()


class Kto(Preference):
    """Kahneman-Tversky optimisation (Ethayarajh et al., 2024).

    The drift from the reference (``kl``) is estimated on mismatched answers: each prompt with an answer to the prompt before
    it. Where neighbours have other prompts, that is the answer of the example before it, as with trl.
    """

    unit = "answers"

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self._mismatched: dict[int, Rendered] = {}
        self._drift = torch.zeros(())

    def arrange(self, examples: list[Example]) -> list[Example]:
        groups = _by_prompt(examples)
        for number, group in enumerate(groups):
            others = groups[number - 1]
            for place, example in enumerate(group):  # a pair's better answer gets a better one, the worse a worse
                answer = others[place % len(others)].rows[-1]
                self._mismatched[id(example)] = _mismatch(example.rows[-1], answer, self.max_length)
        return examples

    def bundles(self, examples: Sequence[Example]) -> list[tuple[Rendered, ...]]:
        return [(*example.rows, self._mismatched[id(example)]) for example in examples]

    def _sides(self, sums: torch.Tensor, example: Example) -> torch.Tensor:
        count = len(example.rows)
        mismatched = sums[count] if len(sums) > count else sums.new_zeros(())
        return torch.stack((sums[:count].sum(), mismatched))

    def policy(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example]) -> torch.Tensor:
        sums = sum_by_row(-nll, piece)
        return torch.stack([part.sum() for part in torch.split(sums, [len(example.rows) for example in examples])])

    def begin(self, examples: Sequence[Example], scored: Scored, *, held_out: bool) -> None:
        now = torch.zeros(len(examples))
        for numbers, sums in scored([(self._mismatched[id(example)],) for example in examples]):
            now[numbers] = sums.cpu().float()
        # Never below 0: it estimates a divergence.
        self._drift = (now - self.reference(examples, now.device)[:, 1]).mean().clamp(min=0)
        self.note("kl", self._drift)

    def loss(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example], *, held_out: bool) -> torch.Tensor:
        ratios = self.policy(nll, piece, examples) - self.reference(examples, nll.device)[:, 0]
        good = torch.tensor([example.desirable for example in examples], device=nll.device)
        rewards, drift = self.config.beta * ratios.detach(), self._drift.to(nll.device)
        for name, chosen in (("rewards_chosen", good), ("rewards_rejected", ~good)):
            self.note(name, rewards[chosen])
        gain = torch.sigmoid(self.config.beta * torch.where(good, ratios - drift, drift - ratios))
        weight = torch.where(
            good,
            torch.full_like(ratios, self.config.desirable_weight),
            torch.full_like(ratios, self.config.undesirable_weight),
        )
        return (weight * (1 - gain)).sum()

    def metrics(self) -> dict[str, float]:
        means = super().metrics()
        if "rewards_chosen" in means and "rewards_rejected" in means:
            means["rewards_margin"] = means["rewards_chosen"] - means["rewards_rejected"]
        return means


def _by_prompt(examples: Sequence[Example]) -> list[list[Example]]:
    """Return examples in groups, each of neighbours with one prompt, and of another prompt than the groups next to it.

    The first group is next to the last. Where all examples have the same prompt, each is a group.
    """
    groups = [list(group) for _, group in itertools.groupby(examples, _prompt)]
    if len(groups) > 1 and _prompt(groups[0][0]) == _prompt(groups[-1][0]):
        groups[0] = groups.pop() + groups[0]
    return groups if len(groups) > 1 else [[example] for example in examples]


def _prompt(example: Example) -> list[int]:
    first = example.rows[0]  # the others are of later turns, behind the answer's first ones
    return first.input_ids[: first.first_trained]


def _mismatch(prompt: Rendered, answer: Rendered, length: int) -> Rendered:
    """Return the prompt of one row with the answer of another."""
    before, start = prompt.first_trained, answer.first_trained
    return replace(
        prompt,
        input_ids=(prompt.input_ids[:before] + answer.input_ids[start:])[:length],
        labels=([NOT_TRAINED] * before + answer.labels[start:])[:length],
    )
