"""SDFT: a model that reads a demonstration teaches itself to answer without it."""

from __future__ import annotations

from shadownb.engine.methods import distill

SPEC = distill.SPEC.replace(
    name="sdft",
    title="Self-distillation",
    hint="The model reads a demonstration and teaches itself to answer so without it; what it knew before stays.",
    data_shape="chats or prompt and answer pairs, whose answers are demonstrations",
    objective="sdft",
    when_not=(
        "The model does not follow a demonstration that it is shown: what it says with it in its context is all that it can "
        "teach. Ask it so first; small models often copy it or ignore it. Train `lora` on the demonstrations instead.",
        "You have right answers and nothing to forget: `lora` on them is faster, since nothing has to be answered.",
        "A better model is at hand: `distill` from that.",
    ),
)
