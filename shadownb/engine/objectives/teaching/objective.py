"""Distillation: a student learns what a teacher finds likely, token by token, on the teacher's answers and on its own.

On-policy answers are the student's own, so that it learns where it goes wrong itself (GKD: Agarwal et al., 2024); ``sdft`` has the
model itself teach, with the demonstration in its context (Self-Distillation Fine-Tuning, 2026).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.base import EVERY_COLUMN, Chart, Objective, Remark, Row, Score
from shadownb.engine.objectives.reference import answer
from shadownb.engine.objectives.teaching.divergence import generalized_jsd
from shadownb.engine.objectives.teaching.options import DistillOptions, SdftOptions, TeachingOptions
from shadownb.engine.objectives.teaching.source import TaughtAnswers
from shadownb.engine.objectives.teaching.teacher import Likely, Teacher
from shadownb.engine.objectives.teaching.watch import LengthWatch
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, LossOn, Rendered
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.rendering.renderer import Renderer

STATE = "teaching.json"
GIVEN = ("teacher_ids", "teacher_logprobs")  # columns of rows that have a teacher's probabilities
CONTEXT = "privileged_context"


class Teaching(Objective):
    """What distillation from another model and from oneself share."""

    unit = "tokens"
    formats = ("prompt", "chat", "sharegpt", "instruction", "prompt_completion")
    columns = (EVERY_COLUMN,)
    judged_by_loss = False  # answers change as the student does
    options = TeachingOptions
    own: TeachingOptions
    needs = frozenset({"logits"})
    charts = (
        Chart(
            "divergence",
            "Divergence from the teacher",
            (
                ("divergence", "all answers"),
                ("divergence_on", "the student's answers"),
                ("divergence_off", "the teacher's answers"),
            ),
            first=True,
        ),
        Chart(
            "completion_length",
            "Answer length",
            (("completion_length", "the student's, in tokens"), ("teacher_length", "the teacher's, in tokens")),
        ),
        Chart("entropy", "Entropy", (("entropy", "entropy of a token, in nats"),)),
        Chart(
            "shares",
            "Answers cut off",
            (("clipped_ratio", "answers cut off"), ("on_policy", "the student's answers")),
            share=True,
        ),
        Chart(
            "seconds",
            "Seconds of answering",
            (("rollout_s", "answering"), ("teacher_s", "asking the teacher"), ("update_s", "training")),
        ),
    )

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self.watch = LengthWatch()
        self.temperature = self.own.temperature
        self.teacher: Teacher | None = None
        self._began = 0.0

    def teacher_of(self, run: SourceRun) -> Teacher:
        """Return who teaches.

        Raises
        ------
        ShadowError
            The teacher cannot be loaded, asked, or compared with this student.
        """
        raise NotImplementedError

    def makes_texts(self, example: Example) -> bool:
        """Return whether the teacher is to answer an example's question where that is not left to the student."""
        return example.asks

    # -- rows ---------------------------------------------------------------------------------------------------------

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of questions that leave less room than an answer may take, and of a start without anything to hold on to."""
        room = self.own.max_completion_length
        tight = sum(len(example.prompt) + room > self.max_length for example in examples)
        if tight and self.own.lmbda:
            yield Remark(
                f"{tight:,} of {len(examples):,} {unit} have prompts that leave less than max_completion_length={room} tokens.",
                why=f"A row has at most {self.max_length:,} tokens, prompt and answer together, so they are cut off earlier.",
                fix="Lower max_completion_length, shorten the prompts, or raise max_length.",
                code="answers-cut",
            )

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return the student's and the teacher's answers."""
        self.teacher = self.teacher_of(run)
        return TaughtAnswers(epochs, run, self, self.teacher)

    def close(self) -> None:
        """Free a teacher that was loaded for the run."""
        if self.teacher is not None:
            self.teacher.close()
            self.teacher = None

    def expected(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Return questions with an answer of the greatest length, and rows that have one as they are."""
        return [self._longest(example) if example.asks else example for example in examples]

    def _longest(self, example: Example) -> Example:
        ids = list(example.prompt)
        filler = [ids[-1]] * max(1, min(self.own.max_completion_length, self.max_length - len(ids)))
        return replace(example, sequences=(Rendered([*ids, *filler], [NOT_TRAINED] * len(ids) + filler),), asks=False)

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that each answer is computed once more by the teacher, and about half of them while they are sampled."""
        return 2.0 * seen

    # -- loss ---------------------------------------------------------------------------------------------------------

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """Note when the step begins."""
        self._began = 0.0 if held_out else time.perf_counter()

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of trained tokens."""
        return sum(row.predicted_tokens for example in examples for row in example.rows)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed divergence from the teacher; of answers whose probabilities nobody knows, how unlikely they are."""
        said: list[Likely] = [part for example in examples for part in example.columns.get("likely", ())]
        if not said:
            return ops.sum(-tokens.logp)
        per_token = self._divergence(ops, tokens, said)
        own = [1.0 if example.columns["on_policy"] else 0.0 for example in examples for _ in example.rows]
        lengths = [row.predicted_tokens for example in examples for row in example.rows]
        mine = tokens.over(own)
        self.note(ops, "divergence", per_token)
        for name, mask, count in (
            ("divergence_on", mine, sum(n for n, is_own in zip(lengths, own, strict=True) if is_own)),
            ("divergence_off", 1.0 - mine, sum(n for n, is_own in zip(lengths, own, strict=True) if not is_own)),
        ):
            if count:
                total = self.since_log.setdefault(name, [0.0, 0.0])
                total[0] += float(ops.listed(ops.stop(ops.sum(per_token * mask))))
                total[1] += count
        whole = ops.sum(per_token)
        return whole - self.own.sft_weight * ops.sum(tokens.logp * (1.0 - mine)) if self.own.sft_weight else whole

    def _divergence(self, ops: Ops[Any], tokens: Tokens[Any], said: Sequence[Likely]) -> Any:
        """Return the divergence of each token, (N,)."""
        told: list[Any] = [part.logs for part in said]
        teacher = tokens.spread(told)
        ids: list[Any] = [part.ids for part in said if part.ids is not None]
        if ids:
            student = tokens.logp_of(ids)
        else:
            logits = tokens.logits
            if logits.shape[1] != teacher.shape[1]:
                raise ConfigError(
                    f"loss_top_k=0 compares whole vocabularies, and the student's has {logits.shape[1]:,} entries, the teacher's "
                    f"{teacher.shape[1]:,}.",
                    why="The tokenizer is the same; one of the two has more rows in its head than there are tokens.",
                    fix="Leave loss_top_k at 100.",
                )
            first = tokens.logp_of([[[0]] * len(part.logs) for part in said])
            student = logits - (logits[:, :1] - first)
        return generalized_jsd(ops, student, teacher, self.own.beta, tail=bool(ids))

    # -- kept ---------------------------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call, and the seconds of the newest step's training."""
        if self._began:
            self.note_number("update_s", time.perf_counter() - self._began)
            self._began = 0.0
        return super().metrics()

    def evaluate(self, source: ExampleSource, held_out: Sequence[Example]) -> tuple[float, dict[str, float]] | None:
        """Return how far the student's own answers to the evaluation questions are from the teacher, and what there is of them."""
        if not isinstance(source, TaughtAnswers) or self.teacher is None or not self.teacher.tells:
            return None
        return source.judged(held_out)

    def save(self, folder: Path) -> None:
        """Write what was seen of the run so far."""
        (folder / STATE).write_text(json.dumps(self.watch.state_dict()), encoding="utf-8")

    def load(self, folder: Path) -> bool:
        """Read it; returns whether it was there."""
        if not (folder / STATE).is_file():
            return False
        self.watch = LengthWatch(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        return True


class Distillation(Teaching):
    """From another model: a loaded one, one behind a server, or rows that have its answers and probabilities."""

    functions = ("teacher",)
    fields = ("loss_on",)
    options = DistillOptions
    own: DistillOptions

    @classmethod
    def check(cls, config: TrainConfig, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise where nobody teaches."""
        own: DistillOptions = config.objective_options
        if own.teacher:
            if own.teacher_model and "://" not in own.teacher:
                raise ConfigError(
                    f"teacher_model={own.teacher_model!r} is what a server calls its model, and teacher= is no address of one.",
                    fix="Leave teacher_model out, or give teacher='http://host:port/v1'.",
                )
            return
        having = sum(all(name in row.get("columns", {}) for name in GIVEN) for row in rows)
        if having < len(rows) or own.lmbda:
            raise ConfigError(
                "method='distill' needs a teacher."
                if not having
                else f"lmbda={own.lmbda:g} asks for the student's own answers, which only a teacher can judge."
                if having == len(rows)
                else f"{len(rows) - having:,} of {len(rows):,} rows have no teacher_ids and teacher_logprobs.",
                fix="Give teacher=, a model or its name; or rows whose columns teacher_ids and teacher_logprobs have its likeliest "
                "tokens at each trained one, with lmbda=0. To imitate answers alone, train method='lora' on them.",
            )

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the row, with the question that its last answer is to; or the question alone."""
        messages = row["prompt"] if "prompt" in row else row["messages"]
        last = _last_answer(messages)
        asked = messages if last is None else messages[:last]
        prompt = _prompt(renderer, asked, row, max_length)
        tools = row.get("tools") or ()
        if last is None:
            return [
                Example(
                    (Rendered(prompt, [NOT_TRAINED] * len(prompt)),), asks=True, said=asked, prompt=prompt, tools=tools
                )
            ]
        sequences = tuple(renderer.render_all(row, loss_on=loss_on, max_length=max_length))
        likely = _given(row, sequences)
        return [
            Example(sequences, said=asked, prompt=prompt, tools=tools, columns={"likely": likely} if likely else {})
        ]

    def teacher_of(self, run: SourceRun) -> Teacher:
        """Return the teacher that the options name."""
        from shadownb.engine.objectives.teaching.finding import find

        return find(self.own, run)

    def makes_texts(self, example: Example) -> bool:
        """Return whether the row has no answer, or the teacher's is wanted all the same."""
        return example.asks or self.own.seq_kd


class SelfDistillation(Teaching):
    """From the model itself, which has the demonstration in its context as the teacher and not as the student."""

    options = SdftOptions
    own: SdftOptions

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the row's last answer and its question."""
        messages = row["prompt"] if "prompt" in row else row["messages"]
        last = _last_answer(messages)
        context = (row.get("columns") or {}).get(CONTEXT)
        if last is None and not context:
            raise DataError(
                "The row has no demonstration.",
                why="sdft has the model read an answer that the row has, and learn to give such answers without it.",
                fix=f"Give rows with answers, or a column {CONTEXT!r}.",
            )
        asked = messages if last is None else messages[:last]
        if not asked or asked[-1]["role"] != "user":
            raise DataError(
                "The question does not end with a user's turn, so no demonstration can stand beside it.",
                fix="Leave the row out, or end its question with a user's message.",
            )
        prompt = _prompt(renderer, asked, row, max_length)
        tools = row.get("tools") or ()
        if last is None:
            return [
                Example(
                    (Rendered(prompt, [NOT_TRAINED] * len(prompt)),), asks=True, said=asked, prompt=prompt, tools=tools
                )
            ]
        shown = [{**message, "weight": 1} for message in messages[last : last + 1]]
        sequences = answer(renderer, {**row, "prompt": asked}, shown, max_length)
        return [Example(sequences, said=[*asked, *shown], prompt=prompt, tools=tools)]

    def teacher_of(self, run: SourceRun) -> Teacher:
        """Return the model of the run, as it reads demonstrations."""
        from shadownb.engine.objectives.teaching.itself import Itself

        return Itself(self.own, run)


def _last_answer(messages: Sequence[Row]) -> int | None:
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] == "assistant"), None)


def _prompt(renderer: Renderer, asked: Sequence[Row], row: Row, max_length: int | None) -> list[int]:
    if not asked:
        raise DataError("The row has no question.", fix="Leave it out: the student answers questions here.")
    ids = renderer.render_prompt(list(asked), row.get("tools"))
    if max_length is not None and len(ids) >= max_length:
        raise DataError(
            f"The prompt has {len(ids):,} tokens, and max_length={max_length:,} leaves no room for an answer",
            fix="Shorten it, or raise max_length as far as the model has positions.",
        )
    return ids


def _given(row: Row, sequences: tuple[Rendered, ...]) -> list[Likely]:
    """Return what a row's own columns say of a teacher; empty where it has none."""
    import numpy as np

    columns = row.get("columns") or {}
    if not all(name in columns for name in GIVEN):
        return []
    try:
        ids, logs = (np.asarray(columns[name], kind) for name, kind in zip(GIVEN, (np.int64, np.float32), strict=True))
    except ValueError:
        ids = logs = np.zeros(0)
    trained = sum(sequence.predicted_tokens for sequence in sequences)
    if ids.ndim != 2 or ids.shape != logs.shape or len(ids) != trained:
        raise DataError(
            f"{GIVEN[0]} and {GIVEN[1]} do not have as many numbers at each of the row's {trained:,} trained tokens.",
            why=f"They have the shapes {ids.shape} and {logs.shape}.",
            fix="Give two lists of one list a trained token, each of the same length; dataset.inspect(model) shows the tokens.",
        )
    if not (np.isfinite(logs).all() and (logs <= 1e-3).all() and (np.exp(logs).sum(axis=1) <= 1.01).all()):
        raise DataError(
            f"{GIVEN[1]} has values that are no log-probabilities.",
            fix="Give natural logarithms of probabilities, which sum to at most 1 at each token.",
        )
    found, start = [], 0
    for sequence in sequences:
        end = start + sequence.predicted_tokens
        found.append(Likely(ids[start:end], logs[start:end], np.full(end - start, np.nan)))
        start = end
    return found
