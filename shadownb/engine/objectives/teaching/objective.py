"""Distillation: a student learns what a teacher finds likely, token by token, on the teacher's answers and on its own.

On-policy answers are the student's own, so that it learns where it goes wrong itself (GKD: Agarwal et al., 2024); ``sdft`` has the
model itself teach, with the demonstration in its context (Self-Distillation Fine-Tuning, 2026).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.answering import Answering, last_answer, question
from shadownb.engine.objectives.base import Chart, Remark, Row
from shadownb.engine.objectives.reference import answer
from shadownb.engine.objectives.teaching.divergence import generalized_jsd
from shadownb.engine.objectives.teaching.options import DistillOptions, SdftOptions, TeachingOptions
from shadownb.engine.objectives.teaching.source import TaughtAnswers
from shadownb.engine.objectives.teaching.teacher import Likely, Teacher
from shadownb.engine.objectives.teaching.watch import LengthWatch
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import LossOn, Rendered
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.rendering.renderer import Renderer

GIVEN = ("teacher_ids", "teacher_logprobs")  # columns of rows that have a teacher's probabilities
CONTEXT = "privileged_context"


class Teaching(Answering):
    """What distillation from another model and from oneself share."""

    unit = "tokens"
    kept_as = "teaching.json"
    watching = LengthWatch
    watch: LengthWatch
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
        self.teacher: Teacher | None = None

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
        if self.own.lmbda:
            yield from self.answers_cut([example.prompt for example in examples], unit)

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
        return [
            replace(example, sequences=(self.longest(example.prompt),), asks=False) if example.asks else example
            for example in examples
        ]

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that each answer is computed once more by the teacher, and about half of them while they are sampled."""
        return 2.0 * seen

    # -- loss ---------------------------------------------------------------------------------------------------------

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

    def evaluate(self, source: ExampleSource, held_out: Sequence[Example]) -> tuple[float, dict[str, float]] | None:
        """Return how far the student's own answers to the evaluation questions are from the teacher, and what there is of them."""
        if not isinstance(source, TaughtAnswers) or self.teacher is None or not self.teacher.tells:
            return None
        return source.judged(held_out)


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
        last = last_answer(messages)
        asked = question(renderer, messages[:last], row, max_length, who="the student")
        if last is None:
            return [asked]
        sequences = tuple(renderer.render_all(row, loss_on=loss_on, max_length=max_length))
        likely = _given(row, sequences)
        return [replace(asked, sequences=sequences, asks=False, columns={"likely": likely} if likely else {})]

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
        last = last_answer(messages)
        context = (row.get("columns") or {}).get(CONTEXT)
        if last is None and not context:
            raise DataError(
                "The row has no demonstration.",
                why="sdft has the model read an answer that the row has, and learn to give such answers without it.",
                fix=f"Give rows with answers, or a column {CONTEXT!r}.",
            )
        asked = messages[:last]
        if not asked or asked[-1]["role"] != "user":
            raise DataError(
                "The question does not end with a user's turn, so no demonstration can stand beside it.",
                fix="Leave the row out, or end its question with a user's message.",
            )
        example = question(renderer, asked, row, max_length, who="the student")
        if last is None:
            return [example]
        shown = [{**message, "weight": 1} for message in messages[last : last + 1]]
        sequences = answer(renderer, {**row, "prompt": asked}, shown, max_length)
        return [replace(example, sequences=sequences, said=[*asked, *shown], asks=False)]

    def teacher_of(self, run: SourceRun) -> Teacher:
        """Return the model of the run, as it reads demonstrations."""
        from shadownb.engine.objectives.teaching.itself import Itself

        return Itself(self.own, run)


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
