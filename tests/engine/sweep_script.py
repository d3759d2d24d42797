"""A sweep of eight short runs, begun or gone on with: ``python -m tests.engine.sweep_script MODEL begin|resume``."""

from __future__ import annotations

import sys

import shadownb as snb
from tests.engine.methods_data import chats

SPACE = {"learning_rate": (1e-4, 1e-1, "log"), "lora_r": [2, 4]}
OPTIONS = {
    "max_steps": 6, "eval_steps": 2, "save_steps": 2, "sample_max_new_tokens": 0, "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1, "lora_dropout": 0.1,
}  # fmt: skip

if __name__ == "__main__":
    folder, what = sys.argv[1:]
    if what == "begin":
        model = snb.load(folder, max_length=256, dtype="float32")
        sweep = model.sweep(chats(), SPACE, budget=8, name="eight", seed=3, background=True, **OPTIONS)
    else:
        sweep = snb.sweeps.load("eight").resume(background=True)
    print(sweep.status, flush=True)
    sweep.wait()
    print(sweep.status)
