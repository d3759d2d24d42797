"""What a memory of facts recalls, and what it leaves alone, beside plain retrieval in the prompt and the base.

``python benchmarks/facts.py --facts 60`` takes every third fact of ``facts_eval/`` for the experts; routing is always looked at
on all 200. Intervals are Wilson's, of 95 %. A question that is routed nowhere is answered by the base, bit for bit
(``tests/engine/test_facts.py``), so those are not generated again.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from facts_router import lines, questions, read, router_of

import shadownb as snb
from shadownb.engine.embedding import embedder

MODEL = "smollm2-135m"
GREEDY: dict[str, Any] = {"max_new_tokens": 20, "temperature": 0.0}


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


def retrieved(model: Any, rows: list[dict[str, str]]) -> Any:
    """Plain retrieval: the nearest fact by meaning stands in the prompt, whatever it is."""
    keys = embedder().embed([f"{row['question']} {row['value']}" for row in rows])

    def ask(asked: list[str]) -> list[str]:
        nearest = (embedder().embed(asked) @ keys.T).argmax(axis=1)
        prompts = [
            f"Known: {rows[n]['question']} {rows[n]['value']}.\nAnswer shortly: {question}"
            for n, question in zip(nearest, asked, strict=True)
        ]
        return list(model.generate(prompts, use="base", **GREEDY))

    return ask


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=60)
    parser.add_argument("--parts", nargs="*", default=["routing", "more_plus", "retrieval", "base"])
    given = parser.parse_args()
    if "routing" in given.parts:
        routing()
    every = read("facts_eval/facts.psv")
    rows = every[:: max(1, len(every) // given.facts)][: given.facts]
    model = snb.load(MODEL, max_length=256)
    if "more_plus" in given.parts:
        started = time.process_time()
        run = model.train(
            [{"prompt": row["question"], "completion": row["value"]} for row in rows],
            method="more_plus", background=False, sample_max_new_tokens=0,
        )  # fmt: skip
        spent = time.process_time() - started
        with tempfile.TemporaryDirectory() as folder:
            saved = model.save(Path(folder) / "memory")
            size = sum(file.stat().st_size for file in saved.glob("facts*"))
        each = f"{spent / len(rows):.2f} s each; {size / len(rows) / 1e3:.0f} kB each"
        print(f"more_plus: {len(rows)} facts learned in {spent:.0f} s of CPU, {each}", flush=True)
        print("last losses", json.dumps([round(m["loss"], 3) for m in run.metrics][-3:]))
        recall(model, rows, "more_plus", lambda asked: model.generate(asked, **GREEDY))
    if "retrieval" in given.parts:
        recall(model, rows, "retrieval", retrieved(model, rows))
    if "base" in given.parts:
        recall(model, rows, "base", lambda asked: model.generate(asked, use="base", **GREEDY))


if __name__ == "__main__":
    main()
