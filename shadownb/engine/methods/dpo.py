"""DPO: learn from pairs of a better and a worse answer, without a reward model."""

from __future__ import annotations

from shadownb.engine.methods import lora

FORMATS = ("preference",)

SPEC = lora.SPEC.replace(
    name="dpo",
    title="DPO",
    group="preference",
    hint="Moves answers towards the better of two. Start from a model that can already do the task.",
    data_shape="preference pairs (prompt, chosen, rejected)",
    data_formats=FORMATS,
    default_learning_rate=5e-5,
    rate_source="fifty times trl's default of 1e-6: ten for LoRA, five for short runs (40 steps shifted little at 2e-5)",
    objective="dpo",
    options=(),
    fields=lora.FIELDS,
    when_not=(
        "The model cannot do the task yet: DPO only changes how it does it. Train `lora` on right answers first and "
        "continue from that run.",
        "Each question has one right answer: train on that answer directly. On the shipped task `dpo` went from 71 % to "
        "68 %, and plain DPO (`sft_weight=0`) to 52 % (`notebooks/01_methods.ipynb`).",
        "You have thumbs up and down on single answers instead of pairs: use `kto`.",
        "The two answers of a pair are almost the same: pushing the worse one down takes the better one with it. The run "
        "warns about that.",
    ),
)
