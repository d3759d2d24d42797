"""The names that examples in docstrings use without saying where they come from: a loaded model, rows, a run, recorded calls."""

from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import shadownb as snb
from shadownb.panels import Panel
from tests.tiny_models import byte_llama

TICKETS = {
    "shipping": ("Where is my parcel?", "The parcel is late.", "My parcel is broken.", "Nobody delivered it."),
    "billing": ("I paid twice.", "The invoice is wrong.", "Refund me, please.", "Why was I charged?"),
    "account": ("I forgot my password.", "I cannot log in.", "Change my address.", "Delete my account."),
}
ROWS = [
    {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": queue}]}
    for queue, texts in TICKETS.items()
    for text in texts
]


class ExampleNames:
    """Makes them once, and again what an example has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._base = _base(folder / "tiny")
        self._model: Any = None
        self._store: Any = None
        self._used = count()
        model = snb.load(str(self._base), dtype="float32", max_length=128)
        self._run_id = model.train(
            ROWS, eval_dataset=ROWS[::4], learning_rate=1e-2, max_steps=40, per_device_train_batch_size=6,
            gradient_accumulation_steps=2, eval_steps=20, save_steps=20, sample_max_new_tokens=8, background=False,
        ).id  # fmt: skip
        self._record()
        self._files()

    def names(self) -> dict[str, Any]:
        """Return the names for one docstring."""
        return {
            "snb": snb,
            "model": self._as_trained(),
            "rows": json.loads(json.dumps(ROWS)),
            "run": snb.runs.load(self._run_id),
            "store": self._as_recorded(),
        }

    def clean_up(self, left: dict[str, Any]) -> None:
        """End what an example has left: a panel, a recording, a run."""
        for value in left.values():
            if isinstance(value, Panel):
                value.close()
                value.settle(60)  # what it reads is about to be moved
        if self._model.is_loaded and (run := self._model.active_run) is not None:
            run.discard()
            run.wait(timeout=60)

    def _as_trained(self) -> Any:
        known = self._model is not None and self._model.is_loaded and not self._model.resident_adapters
        if not known or self._model.trained != (self._run_id, 40):
            self._model = snb.load(self._run_id)
        return self._model

    def _as_recorded(self) -> Any:
        if self._store is not None:
            self._store.close()
        # Whatever an earlier example left open goes on with files of its own.
        self._recorded.rename(self.folder / f"used-{next(self._used)}")
        shutil.copytree(self.folder / "recorded", self._recorded)
        self._store = snb.CaptureStore.open("tickets")
        return self._store

    def _record(self) -> None:
        with snb.capture(self._as_trained(), name="tickets") as recorder:
            self._recorded = recorder.folder
            server = snb.Endpoint(recorder.base_url, model="tiny", api_key=recorder.token)
            for row in ROWS[::4]:
                server.chat(row["messages"][:1], max_new_tokens=16, temperature=0.0)
        shutil.copytree(self._recorded, self.folder / "recorded")

    def _files(self) -> None:
        lines = ["ticket,queue", *(f'"{text}",{queue}' for queue, texts in TICKETS.items() for text in texts)]
        (self.folder / "tickets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self.folder / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
        (self.folder / "tickets.json").write_text(json.dumps(ROWS), encoding="utf-8")
        (self.folder / "spans.json").write_text(json.dumps(_spans()), encoding="utf-8")


def _base(folder: Path) -> Path:
    """Write a model whose token for the end of a turn has an embedding: it learns to end its answers in 40 steps."""
    byte_llama(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.get_input_embeddings().weight[model.config.eos_token_id].normal_(std=0.2, generator=numbers)
    model.save_pretrained(folder)
    return folder


def _spans() -> list[dict[str, Any]]:
    """Return two calls of one conversation, as OpenTelemetry's convention for generative models writes them."""
    return [
        {
            "traceId": "a" * 32, "spanId": f"{number:016x}", "name": "chat frontier-1",
            "startTimeUnixNano": str(10**18 + number * 10**9), "endTimeUnixNano": str(10**18 + number * 10**9 + 5 * 10**8),
            "attributes": {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "frontier-1", "reward": number,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}]),
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
                ),
            },
        }
        for number, (text, answer) in enumerate([("Where is my parcel?", "shipping"), ("I paid twice.", "billing")])
    ]  # fmt: skip
