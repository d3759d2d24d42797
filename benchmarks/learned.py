"""What is learned on real data: text-to-SQL by imitation, brevity by preference, and what is forgotten meanwhile.

Run: ``SHADOWNB_DATA=... python benchmarks/learned.py sql``, or ``... brevity [--method kto | --sft-weight 0]``

``sql``: LoRA on 1,000 questions over table headers (WikiSQL rows of the data folder), exact match of the query (case and
white space aside) on 100 test questions whose tables stand in no training row, base beside tuned, with intervals.
``brevity``: DPO (or KTO) on the model's own answers. For each question the model answers at length; its first sentence is chosen,
the whole is rejected. Compared on held-out topics: the share of answers that are one whole sentence and name the topic, with
intervals; the share of either alone; and words.
Both print the loss on unrelated prose, base and tuned.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m"

_TOPICS = """bread bicycles rivers moon coffee libraries clocks bridges salt honey glass trains maps gardens rain
markets birds mirrors paper candles wool bees chess kites soap lighthouses windmills compasses tea ink umbrellas bells
pencils snow canals ovens lakes drums locks ropes buttons bottles stamps ladders tents sails wheels cheese"""
TOPICS = _TOPICS.split()
QUESTIONS = ("What should I know about {}?", "Why do people like {}?")
HELD_OUT_TOPICS = 12
EXAMPLES_APART = 5  # so both forms of the question are shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sql", "brevity"])
    parser.add_argument("--steps", type=int, help="default: 125 for sql, 40 for brevity")
    parser.add_argument("--method", choices=["dpo", "kto"], default="dpo", help="of brevity")
    parser.add_argument("--learning-rate", type=float, help="of brevity; default: the method's")
    parser.add_argument("--sft-weight", type=float, default=1.0, help="of brevity by dpo; 0: DPO alone")
    options = parser.parse_args()
    if options.what == "sql":
        sql(options.steps or 125)
    else:
        more = {"sft_weight": options.sft_weight} if options.method == "dpo" else {}
        brevity(options.steps or 40, options.method, learning_rate=options.learning_rate, **more)


def sql(steps: int) -> None:
    import shadownb as snb

    if not os.environ.get("SHADOWNB_DATA"):
        sys.exit("Set SHADOWNB_DATA to the folder that holds wikisql/.")
    folder = Path(os.environ["SHADOWNB_DATA"]) / "wikisql"
    test = question_rows(folder / "test.jsonl")
    seen = {row["messages"][0]["content"].splitlines()[0] for row in test}
    train = [
        r for r in question_rows(folder / "train.jsonl") if r["messages"][0]["content"].splitlines()[0] not in seen
    ]
    print(f"{len(train)} rows to train on, {len(test)} to test; no table stands in both", flush=True)
    model = snb.load(MODEL)
    run = model.train(
        snb.Dataset.from_list(train),
        background=False,
        max_steps=steps,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        sample_max_new_tokens=0,
        save_steps=steps,
    )
    print(f"{steps} steps in {run.duration_s:.0f} s, {run.tokens / run.duration_s:.0f} tokens/s", flush=True)
    print(snb.compare(model, snb.Dataset.from_list(test), snb.Exact(), max_new_tokens=64))
    forgetting(model)


def question_rows(file: Path) -> list[dict[str, Any]]:
    import shadownb as snb

    rows = []
    for row in snb.Dataset.load(file):
        prompt, answer = row["text"].rsplit("\nA: ", 1)
        rows.append(
            {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer.strip()}]}
        )
    return rows


def brevity(steps: int, method: str, **more: Any) -> None:
    import shadownb as snb

    model = snb.load(MODEL)
    questions = [q.format(topic) for topic in TOPICS for q in QUESTIONS]
    held_out, train = questions[: HELD_OUT_TOPICS * 2], questions[HELD_OUT_TOPICS * 2 :]
    long = model.generate(train, max_new_tokens=96, temperature=0)
    pairs = [
        {"prompt": question, "chosen": short, "rejected": text.strip()}
        for question, text in zip(train, long, strict=True)
        if (short := first_sentence(text)) and len(short) < len(text.strip()) - 20
    ]
    print(f"{len(pairs)} pairs; {len(held_out)} questions on {HELD_OUT_TOPICS} other topics held out", flush=True)
    run = model.train(
        pairs,
        method=method,
        background=False,
        max_steps=steps,
        **more,
        per_device_train_batch_size=4 if method == "dpo" else 8,  # a pair is two answers to kto
        gradient_accumulation_steps=1,
        sample_max_new_tokens=0,
        save_steps=steps,
    )
    margins = [metrics["rewards_margin"] for metrics in run.metrics if "rewards_margin" in metrics]
    print(f"{method} {more}: {steps} steps in {run.duration_s:.0f} s")
    print(f"loss {run.losses()[0]:.4f} to {run.losses()[-1]:.4f}, margin {margins[0]:.2f} to {margins[-1]:.2f}")
    asked = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": "."}]} for q in held_out]
    found = snb.compare(model, asked, brief, max_new_tokens=96)
    print(found)
    for side in ("base", "tuned"):
        words = [len(getattr(row, side).split()) for row in found]
        answers = [getattr(row, side) for row in found]
        single = sum(map(is_one_sentence, answers))
        named = sum(names_topic(answer, row.prompt) for answer, row in zip(answers, found, strict=True))
        print(
            f"{side:10} one sentence {single}, topic named {named} of {len(found)}; "
            f"median {statistics.median(words):.0f} words, {min(words)} to {max(words)}"
        )
    for row in list(found)[::EXAMPLES_APART]:
        print(f"for example: {row.prompt}\n  base:  {row.base[:200]!r}\n  tuned: {row.tuned[:200]!r}")
    forgetting(model)


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def brief(output: str, expected: str, *, prompt: str) -> float:
    """Score: 1 for an answer of a single, whole sentence that names what was asked about."""
    return float(is_one_sentence(output) and names_topic(output, prompt))


def is_one_sentence(text: str) -> bool:
    return len(sentences(text)) == 1 and text.strip().endswith((".", "!", "?"))


def names_topic(text: str, prompt: str) -> bool:
    topic = next(topic for topic in TOPICS if topic in prompt)
    return topic.removesuffix("s") in text.lower()


def first_sentence(text: str) -> str:
    parts = sentences(text)
    return parts[0] if len(parts) > 1 and parts[0].endswith((".", "!", "?")) else ""


def forgetting(model: Any) -> None:
    import shadownb as snb

    prose = snb.Dataset.sample("general-text", split="heldout")
    base, tuned = model.loss(prose, use="base"), model.loss(prose)
    print(f"loss on unrelated prose: base {base:.3f}, tuned {tuned:.3f} ({tuned - base:+.3f} nats a token)")


if __name__ == "__main__":
    main()
