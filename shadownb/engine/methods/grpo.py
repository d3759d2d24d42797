"""GRPO: answers of the model itself, made more likely where they score better than the others to the same prompt."""

from __future__ import annotations

from shadownb.engine.methods import lora
from shadownb.engine.methods.spec import QUESTION_FORMATS

SPEC = lora.SPEC.replace(
    name="grpo",
    title="GRPO",
    group="rl",
    hint="Answers each prompt several times, has your functions score the answers, and makes the better ones likelier.",
    data_shape="prompts with reward_fns, or scored TrajectoryGroups",
    data_formats=QUESTION_FORMATS,
    default_learning_rate=2e-4,
    rate_source="two hundred times trl's 1e-6 for whole weights: ten for LoRA, twenty for runs of tens of steps",
    objective="grpo",
    options=(),
    fields=lora.FIELDS,
    defaults=(("per_device_train_batch_size", 4), ("gradient_accumulation_steps", 1)),
    when_not=(
        "The model never gets it right: with rewards of 0.000 there is nothing to make likelier. Train `lora` on right answers "
        "first, or give a graded reward.",
        "You have right answers: `lora` on them costs a tenth, since nothing has to be answered, and an example says more.",
        "The model is sure already (entropy below 0.3 nats a token, as after many steps of SFT): its answers to one prompt hardly "
        "differ, and the run warns that it will not learn.",
        "The reward can be had without doing the task. Look at it with `scoring.lab` first: what it can be fooled by, it will be.",
    ),
)
