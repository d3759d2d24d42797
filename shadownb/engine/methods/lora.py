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
    hint="Small adapters on every linear layer and fused expert, a few percent of the weights. Fast; the base stays as it is.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-4,
    rate_source="about ten times the full fine-tuning rate, more for runs under 100 steps (LoRA Without Regret, 2025)",
    fields=FIELDS,
    options=(("use_dora", False),),
    when_not=(
        "Memory is short: `qlora` holds the base in 4 bits, for slower steps.",
        "The result should be a few kilobytes: `prompt` and `ptuning` keep tens of kilobytes to a few megabytes, "
        "and learn less.",
        "There is much data and memory to spare, and forgetting matters most: in one run of each on the shipped task "
        "`full` had more right and forgot less (`notebooks/01_methods.ipynb`).",
    ),
)
