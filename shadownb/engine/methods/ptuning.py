"""P-tuning: learned embeddings before every prompt, made by a small network."""

from __future__ import annotations

from shadownb.engine.methods import prompt

SPEC = prompt.SPEC.replace(
    name="ptuning",
    title="P-tuning",
    hint="Prompt tuning whose embeddings come from a small network: steadier, learns faster.",
    default_learning_rate=5e-3,
    rate_source="as peft's method comparison for learned prompts; measured: 0.20 nats held out after 30 steps",
    tuner="P_TUNING",
)
