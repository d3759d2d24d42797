"""From a recording over judged groups to a better model: dpo, the best attempts, and grpo, with a program as the judge."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from tests.docs.example_names import ROWS, TICKETS, _base

QUEUE_OF = {text: queue for queue, texts in TICKETS.items() for text in texts}
ATTEMPTS = 4
SAMPLES = 16  # of 12 questions: a share is off by 0.036 at most in two of three cases


class Program:
    """Judges by the queue that is right, in the form in which a judge replies."""

    name, has_base = "program", False

    def chat(self, conversations: Any, **options: Any) -> list[Any]:
        return [snb.Reply(self.reply(turns[-1]["content"])) for turns in conversations]

    def reply(self, prompt: str) -> str:
        right = next(queue for text, queue in QUEUE_OF.items() if text in prompt)
        shown = re.findall(r"<answer (\w+)>\n(.*?)\n</answer \1>", prompt, re.S)
        told = [{"answer": name, "reason": f"it is {right}", "score": 10 * (text == right)} for name, text in shown]
        return json.dumps({"verdicts": told})


def right_share(model: Any, use: Any) -> float:
    """Return how many sampled answers are the right queue."""
    asked = [row["messages"][:1] for row in ROWS for _ in range(SAMPLES)]
    said = model.chat(asked, use=use, temperature=1.0, seed=5, max_new_tokens=12)
    right = [row["messages"][1]["content"] for row in ROWS for _ in range(SAMPLES)]
    return sum(str(reply) == queue for reply, queue in zip(said, right, strict=True)) / len(asked)


def test_judged_attempts_train_in_three_ways_and_two_make_the_model_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    model = snb.load(str(_base(tmp_path / "base")), dtype="float32", max_length=128)
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 6, "gradient_accumulation_steps": 2, "sample_max_new_tokens": 0, "background": False,
    }  # fmt: skip
    half, before = "base", 0.0
    while before < 0.35:  # a model that is sometimes right: the attempts at a task have to differ
        half = model.train(ROWS, learning_rate=1e-2, max_steps=5, start=half, **settings).id
        before = right_share(model, snb.runs.load(half))
    with snb.capture(model, name="attempts") as proxy:
        client = snb.Endpoint(proxy.base_url, model=model.name, api_key=proxy.token)
        for seed in range(ATTEMPTS):
            client.chat([row["messages"][:1] for row in ROWS], temperature=1.0, max_new_tokens=12, seed=seed)
    store = proxy.store
    judged = snb.judge(store, Program())
    assert len(judged) == len(ROWS) and judged.unscored == 0
    for attempt in store.trajectories():
        store.score(attempt, float(attempt.final_content() == QUEUE_OF[attempt.task]))
    assert snb.judge(store, Program()).calibrate().agreement == 1.0, (
        "truth and the program that judges are the same here"
    )
    ways = {
        "dpo": (judged.to_preferences(), "dpo", 5e-4), "best": (judged.best(0.9), "lora", 2e-3), "groups": (judged, "grpo", 3e-4),
    }  # fmt: skip
    after = {}
    for name, (data, method, rate) in ways.items():
        run = model.train(data, method=method, start=half, learning_rate=rate, max_steps=32, **settings)
        assert run.status == "succeeded"
        after[name] = right_share(model, run)
    print(before, after)
    assert before < 0.9
    assert after["dpo"] > before + 0.02 and after["best"] > before + 0.05, (before, after)
    # Of attempts that were given once GRPO has little to learn: wrong ones here are misspelt, and pushed away they become other
    # misspellings. At 2e-3 the share falls from 0.50 to 0.27; the run says so (attempts-used-up).
    assert after["groups"] > before - 0.1, (before, after)
