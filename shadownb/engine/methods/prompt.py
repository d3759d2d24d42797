"""Prompt tuning: learned embeddings before every prompt."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

FIELDS = ("num_virtual_tokens", "prompt_tuning_init_text")

SPEC = MethodSpec(
    name="prompt",
    title="Prompt tuning",
    group="prompt",
    hint="Learned tokens before the prompt, tens of kilobytes. Needs a high rate and many steps; weakest on small models.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=0.1,
    rate_source="a third of the 0.3 of The Power of Scale (Lester et al., 2021); measured: 0.25 nats held out after 30 steps",
    adapter="prompt",
    tuner="PROMPT_TUNING",
    fields=FIELDS,
    when_not=(
        "The model is small: learned prompts are weakest there (21 % of the shipped task right, `lora` 71 %; "
        "`notebooks/01_methods.ipynb`).",
        "Your rows need the whole context: the learned tokens come before each row and take up positions.",
        "You want a single merged model: a learned prompt is not part of the weights and cannot be merged.",
    ),
)
