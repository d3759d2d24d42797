"""The loss shapes that come next, written over the port alone: PPO with a value head, a teacher's top k, rollouts."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.inference import Sampling
from shadownb.engine.objectives import Example
from shadownb.engine.objectives.supervised import Supervised
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.seeds import derived_seed


class _Next(Supervised):
    """Numbers of each trained token, kept by example and written into checkpoints."""

    def __init__(self, config: Any, max_length: int) -> None:
        super().__init__(config, max_length)
        self.kept: dict[str, dict[str, list[list[float]]]] = {}

    @classmethod
    def suits(cls, row: dict[str, Any]) -> bool:
        return False

    def look(self, score: Any, examples: Sequence[Example], **arrays: str) -> None:
        """Keep arrays of the tokens, as the weights of now see them."""
        for numbers, tokens in score([example.rows for example in examples]):
            for name, array in arrays.items():
                rows = tokens.listed(getattr(tokens, array))
                for number in numbers:
                    self.kept.setdefault(name, {})[examples[number].id] = rows[: len(examples[number].rows)]
                    rows = rows[len(examples[number].rows) :]

    def spread(self, tokens: Any, name: str, examples: Sequence[Example]) -> Any:
        return tokens.spread([row for example in examples for row in self.kept[name][example.id]])

    def over(self, tokens: Any, name: str, examples: Sequence[Example]) -> Any:
        return tokens.over([float(e.columns[name]) for e in examples for _ in e.rows])

    def save(self, folder: Path) -> None:
        (folder / "kept.json").write_text(json.dumps(self.kept))

    def load(self, folder: Path) -> bool:
        self.kept = json.loads((folder / "kept.json").read_text())
        return True


class Ppo(_Next):
    """Clipped ratio to the weights of the beginning, and a value head whose error is clipped as well."""

    needs, columns = frozenset({"value"}), ("reward",)

    def begin(self, ops: Any, examples: Any, score: Any, *, held_out: bool) -> None:
        if not self.kept:
            self.look(score, examples, old="logp", values="value")

    def loss(self, ops: Any, tokens: Any, examples: Sequence[Example], *, held_out: bool) -> Any:
        reward, before = self.over(tokens, "reward", examples), self.spread(tokens, "values", examples)
        ratio = ops.exp(tokens.logp - self.spread(tokens, "old", examples))
        advantage = reward - before
        gain = ops.minimum(ratio * advantage, ops.clip(ratio, 0.8, 1.2) * advantage)
        near = before + ops.clip(tokens.value - before, -0.2, 0.2)
        error = -ops.minimum(-((tokens.value - reward) ** 2), -((near - reward) ** 2))  # the larger one
        self.note(ops, "value_error", error)
        return ops.sum(0.5 * error - gain)


class Distil(_Next):
    """Cross-entropy with the most likely tokens of a teacher, given in the rows, beside the next-token loss."""

    needs, columns = frozenset({"top_k"}), ("teacher_ids", "teacher_logprobs")

    def loss(self, ops: Any, tokens: Any, examples: Sequence[Example], *, held_out: bool) -> Any:
        own = tokens.logp_of([e.columns["teacher_ids"] for e in examples for _ in e.rows])
        teacher = ops.exp(tokens.spread([e.columns["teacher_logprobs"] for e in examples for _ in e.rows]))
        return 0.5 * ops.sum(-tokens.logp) - 0.5 * ops.sum(teacher * own)


class Rollouts:
    """Answers of the present weights to the rows' prompts, each batch of them trained on for two steps."""

    updates = 2

    def __init__(self, epochs: Any, answer: Any, seed: int) -> None:
        self._epochs, self._answer, self._seed = epochs, answer, seed
        self._batch: tuple[int, list[Example]] = (-1, [])

    def next(self, step: int) -> list[Example]:
        number = step // self.updates
        if self._batch[0] != number:
            self._batch = (number, self._made(number))
        return self._batch[1]

    def _made(self, number: int) -> list[Example]:
        examples = self._epochs.next(number)
        prompts = [e.rows[0].input_ids[: e.rows[0].first_trained] for e in examples]
        how = Sampling(max_new_tokens=6, temperature=1.0, seed=derived_seed(self._seed, "rollouts", number) % 2**31)
        found = []
        for place, (prompt, said) in enumerate(zip(prompts, self._answer(prompts, how), strict=True)):
            row = Rendered([*prompt, *said.token_ids], [NOT_TRAINED] * len(prompt) + said.token_ids)
            reward = statistics.fmean(float(token % 2) for token in said.token_ids)
            found.append(Example((row,), columns={"reward": reward}, id=f"{number}-{place}"))
        return found

    def epoch(self, step: int) -> float:
        return float(self._epochs.epoch(step)) / self.updates

    def known(self, steps: int) -> list[int]:
        return []

    def save(self, folder: Path) -> None:
        number, examples = self._batch
        rows = [[e.id, e.columns["reward"], e.rows[0].input_ids, e.rows[0].labels] for e in examples]
        (folder / "rollouts.json").write_text(json.dumps([number, rows]))

    def load(self, folder: Path) -> None:
        number, rows = json.loads((folder / "rollouts.json").read_text())
        made = [Example((Rendered(ids, labels),), columns={"reward": r}, id=name) for name, r, ids, labels in rows]
        self._batch = (number, made)


class Online(_Next):
    """Policy gradient on rollouts; the weights that made a batch are the old ones of both its steps."""

    def source(self, epochs: Any, run: Any) -> Rollouts:
        return Rollouts(epochs, run.answer, self.config.seed)

    def begin(self, ops: Any, examples: Any, score: Any, *, held_out: bool) -> None:
        if examples[0].id not in self.kept.get("old", {}):
            self.kept = {}
            self.look(score, examples, old="logp")
        self.note(ops, "reward", ops.numbers([e.columns["reward"] for e in examples]))

    def loss(self, ops: Any, tokens: Any, examples: Sequence[Example], *, held_out: bool) -> Any:
        ratio = ops.exp(tokens.logp - self.spread(tokens, "old", examples))
        advantage = self.over(tokens, "reward", examples) - 0.5
        return -ops.sum(ops.minimum(ratio * advantage, ops.clip(ratio, 0.8, 1.2) * advantage))


ALL = {"ppo": Ppo, "distil": Distil, "online": Online}
