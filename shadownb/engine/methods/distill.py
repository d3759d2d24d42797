"""Distillation: a student learns the probabilities that a teacher gives to each token."""

from __future__ import annotations

from shadownb.engine.methods import lora
from shadownb.engine.methods.spec import QUESTION_FORMATS

SPEC = lora.SPEC.replace(
    name="distill",
    title="Distillation",
    group="teacher",
    hint="Learns from another model, token by token: on its answers, and on the student's own, which the teacher judges.",
    data_shape="questions with a teacher=, or rows with teacher_ids and teacher_logprobs",
    data_formats=QUESTION_FORMATS,
    default_learning_rate=5e-4,
    rate_source="that of lora: the loss is of the same size, nats a token",
    objective="distill",
    options=(),
    fields=lora.FIELDS,
    defaults=(("per_device_train_batch_size", 8), ("gradient_accumulation_steps", 1)),
    when_not=(
        "The teacher gives texts alone, as most rented models do: train `lora` on its answers, which is the same and costs less.",
        "You have no better model than this one: use `sdft` with demonstrations, or `grpo` with a reward.",
        "The student cannot do the task at all: on its own answers there is then little to agree on, and they shrink. Give a "
        "larger off-policy share (lower `lmbda`), or train `lora` first.",
        "Teacher and student have different tokenizers: their tokens cannot be compared, and the run refuses.",
    ),
)
