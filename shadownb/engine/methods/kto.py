"""KTO: learn from single answers that were found good or bad."""

from __future__ import annotations

from shadownb.engine.methods import dpo, lora

SPEC = dpo.SPEC.replace(
    name="kto",
    title="KTO",
    hint="Learns from thumbs up and thumbs down on single answers; no pairs needed.",
    data_shape="answers with a verdict (prompt, completion, label), or preference pairs",
    data_formats=("unpaired_preference", *dpo.FORMATS),
    objective="kto",
    fields=lora.FIELDS,
)
