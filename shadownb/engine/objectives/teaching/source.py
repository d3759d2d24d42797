"""Where the examples of a distillation come from: the student's own answers and the teacher's, each with what the teacher says.

Answers of the student are kept as they come (:mod:`shadownb.engine.objectives.policy.kept`), and those of the teacher once and for
all (:mod:`.texts`), so that a run that is killed goes on with the same tokens and pays for no answer twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.types import Completion
from shadownb.engine.objectives.policy.kept import KeptAnswers, forget
from shadownb.engine.objectives.teaching.teacher import Likely, Taught, Teacher
from shadownb.engine.objectives.teaching.texts import TeacherTexts
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.engine.seeds import derived_seed
from shadownb.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.objectives.teaching.objective import Teaching

STATE = "teacher.json"
_PARTS = 1_000_000  # of lmbda, so that shares add up without rounding
_LOOKED_AT = 8  # questions that a teacher answers where nothing else says how long its answers are


class TaughtAnswers:
    """Answers to the rows' questions, by the student of now or the teacher."""

    def __init__(self, epochs: ExampleSource, run: SourceRun, objective: Teaching, teacher: Teacher) -> None:
        self._epochs, self._run, self._objective, self._teacher = epochs, run, objective, teacher
        self._own, self._seed = objective.own, objective.config.seed
        if self._own.lmbda and not teacher.tells:
            raise ConfigError(
                f"lmbda={self._own.lmbda:g} asks for the student's own answers, and the {teacher.name} does not score them.",
                why=teacher.why
                or "It gives no log-probabilities of given tokens, which on-policy distillation compares.",
                fix="Give lmbda=0, to learn from the teacher's answers alone; or a teacher that tells them: a local model, or a "
                "server whose completions take echo with logprobs.",
            )
        if not teacher.tells:
            run.warn(
                f"The {teacher.name} gives no log-probabilities: its answers are imitated, token by token.",
                why=f"{teacher.why} Method lora does the same with the same answers.".strip(),
                code="texts-only",
            )
        self._step = 0
        self._texts = TeacherTexts(run, teacher, self._own, self._seed)

    # -- the port -----------------------------------------------------------------------------------------------------

    def next(self, step: int) -> Sequence[Example]:
        """Return what the step trains on."""
        started, self._step = time.perf_counter(), step
        asked = list(self._epochs.next(step))
        own = self._whose(step, len(asked))
        answers = self._answered(step, [example for example, is_own in zip(asked, own, strict=True) if is_own])
        answering = time.perf_counter() - started
        started = time.perf_counter()
        texts = iter(
            self._texts.of(
                [e for e, is_own in zip(asked, own, strict=True) if not is_own and self._objective.makes_texts(e)]
            )
        )
        made: list[Example] = []
        told = iter(answers)
        for place, (example, is_own) in enumerate(zip(asked, own, strict=True)):
            columns = {**example.columns, "on_policy": is_own}
            rows = example.sequences
            if is_own:
                rows = (answered(example, next(told)),)
            elif self._objective.makes_texts(example):
                rows = next(texts)
            if rows is not example.sequences:
                columns.pop("likely", None)  # which is of the row's own answer
            made.append(
                replace(example, sequences=rows, asks=False, columns=columns, id=f"{example.id}/{step}/{place}")
            )
        made = self._with_teacher(made)
        self._note(step, asked, own, answers, made, answering, time.perf_counter() - started)
        return made

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the questions."""
        return self._epochs.epoch(step)

    def known(self, steps: int) -> Sequence[int]:
        """Return nothing: no answer is there before the first step."""
        return []

    def save(self, folder: Path) -> None:
        """Write who teaches; answers of earlier steps are not needed any more."""
        kept = {"name": self._teacher.name, "identity": self._teacher.identity}
        (folder / STATE).write_text(json.dumps(kept), encoding="utf-8")
        forget(self._run.samples, self._step)

    def load(self, folder: Path) -> None:
        """Read it, and refuse another teacher."""
        kept = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if kept["identity"] != self._teacher.identity:
            raise CheckpointError(
                f"The run learned from the {kept['name']}, and the {self._teacher.name} is another teacher.",
                why="A run that goes on has the teacher that it began with: same weights, or the same model of a server.",
                fix="Give that teacher: run.resume(teacher=...); or load the checkpoint and start a new run.",
            )

    # -- answers ------------------------------------------------------------------------------------------------------

    def _whose(self, step: int, count: int) -> list[bool]:
        """Return of each example of a step whether the student answers it: of any number in a row, ``lmbda`` of them."""
        share, first = round(self._own.lmbda * _PARTS), step * self._objective.config.rows_per_step
        return [(n + 1) * share // _PARTS > n * share // _PARTS for n in range(first, first + count)]

    def _sampling(self, *what: int | str) -> Sampling:
        return Sampling(
            max_new_tokens=self._own.max_completion_length,
            temperature=self._own.temperature,
            top_p=1.0,
            seed=derived_seed(self._seed, *what),
            logprobs=True,
        )

    def _answered(self, step: int, asked: Sequence[Example]) -> list[Completion]:
        """Return the student's answers of a step; those that were there when a run was killed are not given again."""
        if not asked:
            return []
        sampling = self._sampling("student", step)
        what = {
            "prompts": [example.id for example in asked],
            "sampling": {**sampling.as_dict(), "stop": list(sampling.stop)},
        }
        kept = KeptAnswers(self._run.samples, step, self._run.weights_digest(), what)
        self._run.phase("answering", len(kept.answers), len(asked), "answers")
        if len(kept.answers) < len(asked):
            prompts = [list(example.prompt) for example in asked]
            for rollout in self._run.rollouts(prompts, 1, sampling, skip=set(kept.answers)):
                kept.add(rollout)
                self._run.phase("answering", len(kept.answers), len(asked), "answers")
        return [kept.answers[place, 0] for place in range(len(asked))]

    # -- the teacher --------------------------------------------------------------------------------------------------

    def _with_teacher(self, examples: list[Example]) -> list[Example]:
        """Return the examples with what the teacher says of their tokens, where it does."""
        missing = [example for example in examples if "likely" not in example.columns]
        if not self._teacher.tells or not missing:
            return examples
        rows = [Taught(row, example) for example in missing for row in example.rows]
        self._run.phase("asking the teacher", 0, len(rows), "rows")
        said = iter(self._teacher.likely(rows, self._own.loss_top_k, self._own.temperature))
        self._run.check()
        found = {example.id: [next(said) for _ in example.rows] for example in missing}
        return [
            replace(example, columns={**example.columns, "likely": found[example.id]})
            if example.id in found
            else example
            for example in examples
        ]

    # -- what is told -------------------------------------------------------------------------------------------------

    def _note(
        self,
        step: int,
        asked: Sequence[Example],
        own: Sequence[bool],
        answers: Sequence[Completion],
        made: Sequence[Example],
        answering: float,
        teaching: float,
    ) -> None:
        objective, watch = self._objective, self._objective.watch
        watch.expect([_length(example) for example, is_own in zip(made, own, strict=True) if not is_own])
        if not watch.seen:
            watch.expect(self._lengths_meant(asked))
        numbers = {"teacher_s": teaching, "on_policy": sum(own) / len(own), "teacher_length": watch.expected or None}
        if answers:
            lengths = [len(answer.token_ids) for answer in answers]
            logs = [value for answer in answers for value in answer.logprobs or ()]
            length, clipped = sum(lengths) / len(lengths), _cut(answers)
            numbers |= {
                "completion_length": length,
                "clipped_ratio": clipped,
                "entropy": -sum(logs) / len(logs) if logs else None,
                "rollout_s": answering,
            }
            for remark in watch.look(length, clipped, step + 1):
                self._run.warn(remark.what, why=remark.why, fix=remark.fix, code=remark.code)
            if self._own.stop_on_collapse:
                objective.ended = watch.collapsed
            self._tell(step, made, own, answers)
        for name, value in numbers.items():
            if value is not None:
                objective.note_number(name, value)

    def _lengths_meant(self, asked: Sequence[Example]) -> list[int]:
        """Return how long answers to some questions are meant to be, where no answer of a teacher was trained."""
        if self._teacher.answers:
            return [sum(row.predicted_tokens for row in rows) for rows in self._texts.of(asked[:_LOOKED_AT])]
        return [_length(example) for example in asked if not example.asks]

    def _tell(self, step: int, made: Sequence[Example], own: Sequence[bool], answers: Sequence[Completion]) -> None:
        """Have the Run panel show the student's answers, each with how much likelier the teacher finds it, in nats a token."""
        groups = []
        for example, answer in zip((e for e, is_own in zip(made, own, strict=True) if is_own), answers, strict=True):
            apart = _apart(answer, example.columns.get("likely", ()))
            said = example.said
            question = next((m for m in reversed(said) if m["role"] != "assistant"), None)
            reasons = (
                {}
                if apart is None
                else {"teacher": f"finds it {abs(apart):.2f} nats a token {'less' if apart > 0 else 'more'} likely"}
            )
            item = {
                "completion": answer.text, "finish_reason": answer.finish_reason, "tokens": len(answer.token_ids),
                "reward": None, "rewards": {}, "reasons": reasons, "advantage": 0.0,
            }  # fmt: skip
            row = example.id.rpartition("/")[0].rpartition("/")[0]
            groups.append({"row": row, "prompt": str(question["content"]) if question else "", "completions": [item]})
        self._run.answered(step + 1, groups)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def judged(self, held_out: Sequence[Example]) -> tuple[float, dict[str, float]]:
        """Return (nats a token that the student is from the teacher on its own answers, metrics), by the same luck each time.

        It is an estimate of KL(student | teacher): the mean, over the tokens of one answer to each question, of how much likelier
        the student finds them.
        """
        answers: dict[int, Completion] = {}
        prompts = [list(example.prompt) for example in held_out]
        sampling = replace(self._sampling("held out"), temperature=1.0)
        self._run.phase("evaluating", 0, len(prompts), "rows")
        for rollout in self._run.rollouts(prompts, 1, sampling):
            answers[rollout.prompt] = rollout.completion
            self._run.phase("evaluating", len(answers), len(prompts), "rows")
        taught = [Taught(answered(example, answers[place]), example) for place, example in enumerate(held_out)]
        said = self._teacher.likely(taught, 1, 1.0)
        self._run.check()
        apart = [
            now - then
            for place, likely in enumerate(said)
            for now, then in zip(answers[place].logprobs or (), likely.said, strict=True)
        ]
        found = {
            "reverse_kl": float(sum(apart)) / len(apart),
            "completion_length": sum(len(answer.token_ids) for answer in answers.values()) / len(answers),
            "clipped_ratio": _cut(list(answers.values())),
        }
        return found["reverse_kl"], {f"eval_{name}": round(value, 6) for name, value in found.items()}


def answered(example: Example, answer: Completion) -> Rendered:
    """Return a question with an answer as it is trained: the very tokens that were sampled."""
    asked, said = list(example.prompt), list(answer.token_ids)
    return Rendered([*asked, *said], [NOT_TRAINED] * len(asked) + said)


def _length(example: Example) -> int:
    return sum(row.predicted_tokens for row in example.rows)


def _cut(answers: Sequence[Completion]) -> float:
    return sum(answer.finish_reason == "length" for answer in answers) / len(answers)


def _apart(answer: Completion, likely: Sequence[Likely]) -> float | None:
    """Return how many nats a token likelier the student finds its answer than the teacher does; None where that is not known."""
    then = [value for part in likely for value in part.said]
    pairs = list(zip(answer.logprobs or (), then, strict=False))
    return float(sum(a - b for a, b in pairs)) / len(pairs) if pairs else None
