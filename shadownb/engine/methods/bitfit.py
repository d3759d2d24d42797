"""BitFit: only the biases are trained."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="bitfit",
    title="BitFit",
    group="full",
    hint="Trains only the bias vectors, in models that have them (not the Llama family). The fewest weights of all methods.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=1e-3,
    rate_source="the upper end of the range in BitFit (Ben Zaken et al., 2022)",
    adapter="bias",
    quantized_base=False,
    when_not=(
        "The model has no biases. Models of the Llama family have none, and the run is refused; `lora` with "
        "`lora_r=1` and `target_modules='attention'` is about as small.",
        "The base is loaded in 4 or 8 bits. Use `qlora`.",
    ),
)
