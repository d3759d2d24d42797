"""Prompt tuning: learned embeddings before every prompt."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

FIELDS = ("num_virtual_tokens", "prompt_tuning_init_text")

SPEC = MethodSpec(
    name="prompt",
    title="Prompt tuning",
    group="prompt",
    hint="A learned beginning of the prompt, tens of kilobytes. Needs high rates and many steps; weakest on small models.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=0.1,
    rate_source="a third of the 0.3 of The Power of Scale (Lester et al., 2021); measured: 0.25 nats held out after 30 steps",
    adapter="prompt",
    tuner="PROMPT_TUNING",
    fields=FIELDS,
    when_not=(
        "The model is small: learned prompts are weakest there (21 % of the shipped task where `lora` has 71 %, "
        "`notebooks/01_methods.ipynb`).",
        "Every position is needed: the learned tokens stand before each row and take its room.",
        "You want one whole model to hand on: it is not part of the weights and cannot be merged.",
    ),
)
