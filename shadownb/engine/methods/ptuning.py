"""P-tuning: learned embeddings before every prompt, made by a small network."""

from __future__ import annotations

from shadownb.engine.methods import prompt

SPEC = prompt.SPEC.replace(
    name="ptuning",
    title="P-tuning",
    hint="Prompt tuning whose embeddings come from a small network: more stable, learns faster.",
    default_learning_rate=5e-3,
    rate_source="the rate of peft's method comparison for learned prompts; measured: 0.20 nats held out after 30 steps",
    tuner="P_TUNING",
    when_not=(
        "The model is small: it learned a third of what `lora` did on the shipped task (24 % against 71 %, "
        "`notebooks/01_methods.ipynb`).",
        "Your rows need the whole context: the learned tokens come before each row and take up positions.",
        "You want a single merged model: a learned prompt is not part of the weights and cannot be merged.",
    ),
)
