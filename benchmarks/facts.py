"""What a memory of facts recalls, and what it leaves alone, beside the base, plain retrieval in the prompt, and LoRA.

``python benchmarks/facts.py --facts 60`` takes every third fact of ``facts_eval/`` and every second of its unrelated questions;
routing is always looked at on all 200. Intervals are Wilson's, of 95 %; times are CPU seconds. 60 facts take about 15
minutes of one core, 12 about 4. ``--parts two`` asks twenty questions for two facts each. ``facts_shadowlm.py`` has the nearest
system's own two methods on the same facts.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from facts_router import lines, questions, read, router_of

import shadownb as snb
from shadownb.engine.embedding import embedder

MODEL = "smollm2-135m"
MEMORIES = ("more_plus", "more")
_LORA_EPOCHS = 20
_UNRELATED = (
    "The river rose in the night, and by the morning the lower meadow was under water.",
    "To sort a list, compare neighbours and swap them until nothing changes any more.",
    "She closed the shop early, because nobody had come in since noon and the snow was getting deeper.",
)
GREEDY: dict[str, Any] = {"max_new_tokens": 20, "temperature": 0.0}
BOTH: dict[str, Any] = {**GREEDY, "max_new_tokens": 40}


def share(right: int, of: int) -> str:
    if not of:
        return "-"
    z, p = 1.96, right / of
    middle, spread = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * spread) / (1 + z * z / of) for sign in (-1, 1))
    return f"{right}/{of} = {100 * p:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def says(answers: list[str], values: list[str]) -> int:
    return sum(value.lower() in answer.lower() for answer, value in zip(answers, values, strict=True))


def routing() -> None:
    """What all 200 facts are found by."""
    rows = read("facts_eval/facts.psv")
    router = router_of(rows)
    taken: list[float] = []
    for kind, each in questions(rows, lines("facts_eval/off_topic.txt")).items():
        right = wrong = 0
        for question, expected in each:
            started = time.process_time()
            units = router.route(question).units
            taken.append(time.process_time() - started)
            found = units[0] if units else None
            right += found == expected
            wrong += found is not None and found != expected
        print(
            f"routed, {kind:10}: right {share(right, len(each))}; to a wrong fact {share(wrong, len(each))}", flush=True
        )
    print(
        f"routing takes {1000 * sorted(taken)[len(taken) // 2]:.1f} ms of CPU, the embedder's pass included", flush=True
    )


def recall(model: Any, rows: list[dict[str, str]], side: str, ask: Any) -> None:
    for kind, names in (("verbatim", ["question"]), ("paraphrase", ["paraphrase 1", "paraphrase 2"])):
        asked = [(row[name], row["value"]) for row in rows for name in names]
        started = time.process_time()
        right = says(ask([question for question, _ in asked]), [value for _, value in asked])
        spent = (time.process_time() - started) / len(asked)
        print(f"{side}, {kind:10}: {share(right, len(asked))}, {spent:.2f} s of CPU an answer", flush=True)


def retrieved(model: Any, rows: list[dict[str, str]], nearest: int = 1) -> Any:
    """Plain retrieval: the nearest facts by meaning stand in the prompt, whatever they are."""
    keys = embedder().embed([f"{row['question']} {row['value']}" for row in rows])

    def ask(asked: list[str]) -> list[str]:
        scores = embedder().embed(asked) @ keys.T
        known = [
            [f"{rows[n]['question']} {rows[n]['value']}." for n in each[:nearest]] for each in (-scores).argsort(axis=1)
        ]
        prompts = [
            f"Known: {' '.join(each)}\nAnswer shortly: {question}" for each, question in zip(known, asked, strict=True)
        ]
        return list(model.generate(prompts, use="base", **(GREEDY if nearest == 1 else BOTH)))

    return ask


def damage(model: Any, off_topic: list[str]) -> None:
    """How many answers to unrelated questions are no longer the base's, and what that does to the loss on unrelated text."""
    tuned, base = (model.generate(off_topic, use=use, max_new_tokens=12, temperature=0.0) for use in ("tuned", "base"))
    changed = sum(one != other for one, other in zip(tuned, base, strict=True))
    texts = [{"text": text} for text in _UNRELATED]
    losses = [float(model.loss(texts, use=use)) for use in ("tuned", "base")]
    told = f"unrelated answers changed {share(changed, len(off_topic))}"
    print(f"  {told}; loss on unrelated text {losses[0]:.3f}, base {losses[1]:.3f}")


def changed(model: Any, method: str, rows: list[dict[str, str]]) -> None:
    """What it costs to change one fact: that fact alone, or everything again."""
    started = time.process_time()
    if method in MEMORIES:
        model.facts.update(rows[0]["question"], "something else", test=False)
    else:
        learn(model, method, [{**rows[0], "value": "something else"}, *rows[1:]])
    print(f"  changing one fact takes {time.process_time() - started:.1f} s of CPU", flush=True)


def two_facts(methods: list[str]) -> None:
    """Questions for two facts at once: whether both values are said, one, or none."""
    rows, asked = read("facts_eval/facts.psv"), read("facts_eval/two_facts.psv")
    values = {row[name].lower() for row in asked for name in ("value 1", "value 2")}
    rows = [row for row in rows if any(value in row["value"].lower() for value in values)]  # "at 15:40" has "15:40"
    model = snb.load(MODEL, max_length=256)
    sides: dict[str, Any] = {"base": lambda questions: model.generate(questions, use="base", **BOTH)}
    sides["retrieval"] = retrieved(model, rows, nearest=2)
    for method in methods:
        tuned = snb.load(MODEL, max_length=256)
        learn(tuned, method, rows)
        sides[method] = lambda questions, tuned=tuned: tuned.generate(questions, **BOTH)
    for side, ask in sides.items():
        said = ask([row["question"] for row in asked])
        found = [
            sum(row[f"value {n}"].lower() in text.lower() for n in (1, 2))
            for row, text in zip(asked, said, strict=True)
        ]
        print(f"{side}, two facts: both {share(found.count(2), len(found))}, one alone {found.count(1)}", flush=True)


def learn(model: Any, method: str, rows: list[dict[str, str]]) -> Any:
    options: dict[str, Any] = {"sample_max_new_tokens": 0, "background": False, "start": "base"}
    if method == "lora":
        options |= {"num_train_epochs": _LORA_EPOCHS, "learning_rate": 1e-3, "lora_r": 16, "lora_alpha": 32}
        options |= {"per_device_train_batch_size": 8, "lr_scheduler_type": "cosine"}
    return model.train(
        [{"prompt": row["question"], "completion": row["value"]} for row in rows], method=method, **options
    )


def trained(method: str, rows: list[dict[str, str]], off_topic: list[str]) -> None:
    model = snb.load(MODEL, max_length=256)
    started = time.process_time()
    run = learn(model, method, rows)
    spent = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        saved = model.save(Path(folder) / "memory")
        size = sum(file.stat().st_size for file in saved.glob("*.safetensors"))
    each = f"{spent / len(rows):.2f} s each; {size / 1e6:.1f} MB, {size / len(rows) / 1e3:.0f} kB each"
    print(
        f"{method}: {len(rows)} facts learned in {spent:.0f} s of CPU, {each}; last loss {run.metrics[-1]['loss']:.3f}"
    )
    recall(model, rows, method, lambda asked: model.generate(asked, **GREEDY))
    damage(model, off_topic)
    changed(model, method, rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=60)
    parser.add_argument("--parts", nargs="*", default=["routing", "base", "retrieval", "lora", *MEMORIES])
    given = parser.parse_args()
    if "routing" in given.parts:
        routing()
    every = read("facts_eval/facts.psv")
    rows = every[:: max(1, len(every) // given.facts)][: given.facts]
    off_topic = lines("facts_eval/off_topic.txt")
    off_topic = off_topic[:: max(1, len(off_topic) // given.facts)][: given.facts]
    if {"base", "retrieval"} & {*given.parts}:
        model = snb.load(MODEL, max_length=256)
        if "base" in given.parts:
            recall(model, rows, "base", lambda asked: model.generate(asked, use="base", **GREEDY))
        if "retrieval" in given.parts:
            recall(model, rows, "retrieval", retrieved(model, rows))
    for method in ("lora", *MEMORIES):
        if method in given.parts:
            trained(method, rows, off_topic)
    if "two" in given.parts:
        two_facts([method for method in MEMORIES if method in given.parts] or list(MEMORIES))


if __name__ == "__main__":
    main()
