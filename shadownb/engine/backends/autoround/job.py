"""What runs beside auto-round, in its environment: reads a job's file, quantises, and writes the model.

It is a program and no module of the package: nothing of ShadowNB is imported, because its path begins with other packages.
"""

import json
import sys
from pathlib import Path


def main(job: str) -> None:
    """Quantise as the file says."""
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    said = json.loads(Path(job).read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(said["model"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(said["model"])
    longest = max(len(row) for row in said["rows"])
    rows = [row for row in said["rows"] if row]
    if not rows:
        sys.exit("No row to calibrate with.")
    fill = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    batches = [
        {
            "input_ids": torch.tensor([row + [fill] * (longest - len(row))]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row))]),
        }
        for row in rows
    ]
    rounding = AutoRound(
        model,
        tokenizer,
        bits=said["bits"],
        group_size=said["group_size"],
        sym=said["symmetric"],
        iters=said["iters"],
        dataset=batches,
        seqlen=longest,
        nsamples=len(batches),
        batch_size=1,
        seed=42,
        low_gpu_mem_usage=False,
        enable_torch_compile=False,
        device_map="cpu",
    )
    rounding.quantize_and_save(said["target"], format=said["format"])


if __name__ == "__main__":
    main(sys.argv[1])
