"""LoRA: low-rank adapters on the linear layers and fused experts, the base frozen."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

FIELDS = (
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "use_rslora",
    "init_lora_weights",
    "train_embeddings",
)

SPEC = MethodSpec(
    name="lora",
    title="LoRA",
    group="adapter",
    hint="Small adapters on every linear layer and fused expert, a few percent of the weights. Fast; the base stays unchanged.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-4,
    rate_source="about ten times the full fine-tuning rate, more for runs under 100 steps (LoRA Without Regret, 2025)",
    fields=FIELDS,
    options=(("use_dora", False),),
    when_not=(
        "Memory is short: `qlora` keeps the base in 4 bits, at the price of slower steps.",
        "The result has to be tiny: `prompt` and `ptuning` save tens of kilobytes to a few megabytes, but learn less.",
        "You have plenty of data and memory, and forgetting matters most: in one run of each on the shipped task `full` "
        "answered more rows right and forgot less (`notebooks/01_methods.ipynb`).",
    ),
)
