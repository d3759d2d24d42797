"""The options of distillation, under the names of trl's GKD and SDFT trainers where these have them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from shadownb.engine.config_options import option
from shadownb.engine.functions import name_of_object

_GROUP = "objective"


class TeachingOptions(BaseModel):
    """What ``distill`` and ``sdft`` share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lmbda: float = option(
        0.5,
        "Share of the examples that are answers of the student itself (on-policy); the others are answers of the rows, or of the "
        "teacher (off-policy).",
        _GROUP,
        ge=0,
        le=1,
    )
    beta: float = option(
        0.5,
        "Which divergence from the teacher is made small: 0 is KL(teacher | student), which covers all that the teacher says, 1 "
        "KL(student | teacher), which keeps to its likeliest; between them the generalised Jensen-Shannon divergence.",
        _GROUP,
        ge=0,
        le=1,
    )
    temperature: float = option(
        1.0, "How varied the student's answers are, and how soft both distributions that are compared.", _GROUP, gt=0
    )
    max_completion_length: int = option(256, "Longest answer.", _GROUP, ge=1, unit="tokens")
    loss_top_k: int = option(
        100,
        "Of how many of the teacher's likeliest tokens probabilities are compared, all others as one more; 0 is the whole "
        "vocabulary.",
        _GROUP,
        advanced=True,
        ge=0,
    )
    sft_weight: float = option(
        0.0,
        "Weight of a next-token loss on the off-policy answers, added to the divergence.",
        _GROUP,
        advanced=True,
        ge=0,
    )
    stop_on_collapse: bool = option(
        True,
        "Stop where the student's answers have shrunk to a quarter of the teacher's length, for three batches.",
        _GROUP,
        advanced=True,
    )


class DistillOptions(TeachingOptions):
    """What is chosen of a distillation from another model."""

    teacher: str = option(
        "",
        "Who teaches: a model's short name, hub id, folder or run, the address of a server of chat completions, or (in Python) a "
        "loaded Model or an Endpoint. Empty where rows have teacher_ids and teacher_logprobs.",
        _GROUP,
        functions="teacher",
    )
    teacher_model: str = option("", "What a server that is given as teacher= calls the model.", _GROUP, advanced=True)
    seq_kd: bool = option(False, "Off-policy, take the teacher's own answers and not those of the rows.", _GROUP)

    @field_validator("teacher", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return (value or "").strip()
        return name_of_object("teacher", value)


class SdftOptions(TeachingOptions):
    """What is chosen of self-distillation."""

    lmbda: float = option(
        1.0,
        "Share of the examples that are answers of the student itself (on-policy); the others are the demonstrations.",
        _GROUP,
        ge=0,
        le=1,
    )
    beta: float = option(
        1.0,
        "Which divergence from the teacher is made small: 0 is KL(teacher | student), 1 KL(student | teacher), which SDFT has; "
        "between them the generalised Jensen-Shannon divergence.",
        _GROUP,
        ge=0,
        le=1,
    )
    teacher_model_kind: Literal["base", "live"] = option(
        "base",
        "Whose weights read the demonstration: base is the model as the run found it, live the weights of the moment.",
        _GROUP,
    )
    teacher_prompt_template: str = option(
        "{prompt}\n\nHere is an example of a good answer:\n\n{privileged_context}\n\nNow give your own answer.",
        "How the teacher is asked: the question with {prompt} and {privileged_context}, which is the row's answer, or its column "
        "of that name.",
        _GROUP,
        advanced=True,
    )

    @field_validator("teacher_prompt_template")
    @classmethod
    def _has_both(cls, value: str) -> str:
        if missing := [name for name in ("{prompt}", "{privileged_context}") if name not in value]:
            raise ValueError(f"it lacks {' and '.join(missing)}")
        return value
