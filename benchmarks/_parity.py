"""What a commit makes of the cases of :mod:`parity`: run with that commit's package on the path, and only its public names.

``python _parity.py straight|begin|resume WORK OUT.json [CASE ...]``; ``begin`` trains in a worker process each time, which is
killed on its way; ``resume`` ends those runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SYSTEM = {"role": "system", "content": "Name the colour."}
COLOURS = ("RED", "GREEN", "BLUE", "BLACK", "WHITE")


def question(number: int) -> list[dict[str, str]]:
    return [SYSTEM, {"role": "user", "content": f"Colour number {number}?" + " Please." * (number % 5)}]


ROWS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"messages": [*question(n), {"role": "assistant", "content": COLOURS[n % 5]}]} for n in range(14)],
    "preference": [
        {"prompt": question(n), "chosen": COLOURS[n % 5], "rejected": f"I think {COLOURS[(n + 2) % 5].lower()}."}
        for n in range(14)
    ],
    "unpaired": [
        {"prompt": question(n), "completion": COLOURS[n % 5] if n % 2 else "No idea.", "label": bool(n % 2)}
        for n in range(14)
    ],
    "text": [{"text": f"The colour number {n} is {COLOURS[n % 5]}. " * (1 + n % 3)} for n in range(14)],
}

# Fourteen rows, four a step: an epoch is three steps and a half, and a step of one epoch takes rows of the next.
OPTIONS: dict[str, Any] = {
    "max_steps": 16,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "warmup_steps": 2,
    "save_steps": 1,
    "save_total_limit": 20,
    "sample_max_new_tokens": 0,
    "max_grad_norm": 0.5,
    "executor": "thread",
}
STEPS = int(OPTIONS["max_steps"])
KILLED_AFTER = 3
DROPOUT = {"lora_r": 4, "lora_dropout": 0.2}
EVALUATED = {"eval_dataset": "auto", "eval_steps": 2, "sample_max_new_tokens": 6}


@dataclass(frozen=True)
class Case:
    """A run, or one that is refused; ``handed_over`` where one commit begins it and the other ends it."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    data: str = "chat"
    base: str = "plain"
    quantize: str | None = None
    dtype: str = "float32"
    handed_over: bool = False


def lora(**options: Any) -> Case:
    return Case("lora", {"lora_r": 4, **options})


CASES: dict[str, Case] = {
    "lora": Case("lora", DROPOUT, handed_over=True),
    "qlora": Case("qlora", DROPOUT, quantize="4bit", handed_over=True),
    "dora": Case("dora", DROPOUT, handed_over=True),
    "miss": Case("miss", {"lora_r": 4}, handed_over=True),
    "shira": Case("shira", {"lora_r": 4}, handed_over=True),
    "adapter": Case("adapter", {"lora_r": 4}, handed_over=True),
    "full": Case("full", handed_over=True),
    "bitfit": Case("bitfit", base="biased", handed_over=True),
    "prompt": Case("prompt", {"num_virtual_tokens": 4}, handed_over=True),
    "ptuning": Case("ptuning", {"num_virtual_tokens": 4}, handed_over=True),
    "cpt": Case("cpt", {**DROPOUT, "max_length": 64}, data="text", handed_over=True),
    "dpo": Case("dpo", DROPOUT, data="preference", handed_over=True),
    "kto": Case("kto", DROPOUT, data="unpaired", handed_over=True),
    "lora bf16": Case("lora", DROPOUT, dtype="bfloat16", handed_over=True),
    "full bf16": Case("full", dtype="bfloat16", handed_over=True),
    "qlora bf16": Case("qlora", DROPOUT, quantize="4bit", dtype="bfloat16"),
    "dpo full": Case("dpo", {"train_embeddings": False, "lora_r": 4, "sft_weight": 0.0}, data="preference"),
    "dpo ipo": Case("dpo", {"lora_r": 4, "loss_type": "ipo"}, data="preference"),
    "8 bits": Case("lora", {"lora_r": 4}, quantize="8bit"),
    "rslora": lora(use_rslora=True),
    "pissa": lora(init_lora_weights="pissa"),
    "loftq": Case("qlora", {"lora_r": 4, "init_lora_weights": "loftq"}, quantize="4bit"),
    "embeddings": lora(train_embeddings=True),
    "attention only": lora(target_modules="attention"),
    "small pieces": lora(max_tokens_per_forward=64),
    "packed": lora(packing=True, max_length=128),
    "recomputed": lora(gradient_checkpointing="on"),
    "not clipped": lora(max_grad_norm=0.0),
    "no accumulation": lora(gradient_accumulation_steps=1),
    "logged every third": lora(logging_steps=3),
    "loss on all": lora(loss_on="all"),
    "one and a half epochs": lora(max_steps=None, num_train_epochs=1.5),
    "evaluated": lora(**EVALUATED),
    "evaluated, best kept": lora(**EVALUATED, load_best_model_at_end=True, learning_rate=0.2, on_divergence="continue"),
    "stopped early": lora(**EVALUATED, early_stopping_patience=1, learning_rate=0.2, on_divergence="continue"),
    "diverging": lora(optim="sgd", learning_rate=10.0, max_grad_norm=0.0, warmup_steps=0),
    "dpo evaluated": Case("dpo", {"lora_r": 4, **EVALUATED}, data="preference"),
    **{
        f"schedule {name}": lora(lr_scheduler_type=name)
        for name in ("cosine", "constant_with_warmup", "cosine_with_min_lr", "inverse_sqrt", "warmup_stable_decay")
    },
    "schedule constant": lora(lr_scheduler_type="constant", warmup_steps=0),
    "warmup ratio": lora(warmup_ratio=0.3),
    **{f"optim {name}": lora(optim=name) for name in ("adamw_torch", "adamw_8bit", "sgd", "adafactor", "lion_8bit", "rmsprop")},
    "refused: rate": lora(learning_rate=-1.0),
    "refused: no such layers": lora(target_modules=["nowhere"]),
    "refused: other rows": Case("dpo", {"lora_r": 4}),
    "refused: no biases": Case("bitfit"),
    "refused: 4 bits": Case("full", quantize="4bit"),
    "refused: optimizer": lora(optim="adamwx"),
    "refused: method": Case("lorra"),
    "refused: too long": lora(max_length=8, loss_on="last"),
}  # fmt: skip


def main(what: str, work: Path, out: Path, only: list[str]) -> None:
    warnings.simplefilter("ignore")
    unknown = set(only) - set(CASES)
    if unknown:
        sys.exit(f"no such cases: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    cases = {name: case for name, case in CASES.items() if not only or name in only}
    if what == "straight":
        found = {name: straight(case, work) for name, case in cases.items()}
    elif what == "begin":
        found = {name: begin(case, work) for name, case in cases.items() if case.handed_over}
        (work / "begun.json").write_text(json.dumps(found), encoding="utf-8")
    else:
        begun = json.loads((work / "begun.json").read_text(encoding="utf-8"))
        found = {name: resume(record["run"], work, CASES[name]) for name, record in begun.items()}
    out.write_text(json.dumps(found), encoding="utf-8")


def load(case: Case, work: Path) -> Any:
    import shadownb

    length = {_named("max_length"): 256}
    return shadownb.load(str(work / case.base), **length, quantize=case.quantize, dtype=case.dtype)


def _named(option: str) -> str:
    """Return what an option is called in the commit that is looked at: a few have got trl's names."""
    import shadownb

    known = {"max_length": "max_seq_length", "loss_type": "dpo_loss"}
    return known.get(option, option) if hasattr(shadownb.Model, "finetune") else option


def train(model: Any, rows: Any, **options: Any) -> Any:
    """Train, in whichever words the commit has for it."""
    options = {_named(name): value for name, value in options.items() if value is not None}
    return getattr(model, "finetune" if hasattr(model, "finetune") else "train")(rows, **options)


def straight(case: Case, work: Path) -> dict[str, Any]:
    """Train without disturbance, or be refused."""
    from shadownb.errors import ShadowError

    options = {**OPTIONS, **case.options}
    try:
        model = load(case, work)
        run = train(model, ROWS[case.data], method=case.method, background=False, **options)
    except ShadowError as error:
        return {"error": [str(error), type(error).__name__]}
    return outcome(case, model, run)


def begin(case: Case, work: Path) -> dict[str, Any]:
    """Train in a worker process, and kill that when it has passed a step on its way."""
    model = load(case, work)
    # Each step is a checkpoint; the kill may come a step later than asked, which changes nothing that is compared.
    options = {**OPTIONS, **case.options, "executor": "process", "max_steps": STEPS}
    reached, told = threading.Event(), threading.Lock()
    run = train(model, ROWS[case.data], method=case.method, background=True, **options)

    def look(state: Any) -> None:
        worker = (state.launched or {}).get("worker")
        if state.step >= KILLED_AFTER and worker and not reached.is_set():
            with told:
                os.kill(worker["pid"], signal.SIGKILL)
                reached.set()
        elif state.status in ("failed", "succeeded", "interrupted"):
            reached.set()

    run.subscribe(look)
    reached.wait(120)
    run.wait(timeout=60)
    return {"run": run.id, "steps": run.step, "status": run.status}


def resume(run_id: str, work: Path, case: Case) -> dict[str, Any]:
    """End a run that another commit began."""
    import shadownb

    model = load(case, work)
    run = shadownb.runs.load(run_id)
    if run.status != "succeeded":  # it was too fast to be killed: its weights are compared all the same
        run.resume(model, executor="thread").wait(timeout=120)
        return outcome(case, model, run)
    return outcome(case, shadownb.load(run_id), run)


def outcome(case: Case, model: Any, run: Any) -> dict[str, Any]:
    """What is compared of a run that ended."""
    metrics = [row for row in run.metrics if "loss" in row]
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(model.save(f"{folder}/saved", fmt="merged" if case.method == "full" else "adapter"))
        weights = hashes(saved)
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "status": run.status,
        "loss": [row["loss"] for row in metrics],
        "grad_norm": [row["grad_norm"] for row in metrics],
        "learning_rate": [row["learning_rate"] for row in metrics],
        "evaluations": [
            {key: value for key, value in row.items() if key.startswith("eval") and "_s" not in key[-3:]}
            for row in run.eval_metrics
        ],
        "weights": weights,
        "samples": [sample.get("text") or sample.get("completion") for sample in run.samples()],
        "events": [f"{event['type']} {event.get('step', '')}".strip() for event in events if event["type"] != "phase"],
        "warnings": [event["what"] for event in events if event["type"] == "warning"],
    }


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each tensor that a saved model consists of."""
    from safetensors.torch import load_file

    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in sorted(load_file(file).items()):
            found[name] = hashlib.sha256(
                tensor.contiguous().view(-1).view(dtype=_bytes()).numpy().tobytes()
            ).hexdigest()[:16]
    return found


def _bytes() -> Any:
    import torch

    return torch.uint8


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
