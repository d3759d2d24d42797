"""Promised against measured peak memory: ``python benchmarks/estimates.py [METHOD ...] [--dtype float32 ...] [--chats]``.

SmolLM2-135M on the shipped task; dpo and kto on pairs of it, cpt on its messages as plain text, the methods of rewards on its
questions, whose answers a length scores. Each method trains in a process
of its own, so that its peak resident memory is its own: interpreter and libraries included. The promise is that of the
Train panel, ``estimate()`` before the run; the peak is what the run measured. ``--chats`` answers 24 questions before the promise
is made, trains, answers again and trains once more, so that what a kernel holds by then is not counted twice.
``--longer 8`` joins so many rows to one conversation, for longer rows.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

from _contenders import in_process, tell
from dpo import make_pairs

MODEL = "smollm2-135m"
ROW = "{method:10}{dtype:>10}{when:>16}{promised:>10}{peak:>9}{ratio:>8}{between:>16}   {lines}"


def main() -> None:
    import shadownb as snb

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=[m.name for m in snb.methods.available() if m.name != "bitfit"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows-per-step", type=int, default=4)
    parser.add_argument("--longer", type=int, default=1, help="rows of the task in a conversation")
    parser.add_argument("--chats", action="store_true", help="chat before, between and after two runs")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        tell(measure(*options.contender.split(":"), options))
        return
    titles = ("method", "dtype", "when", "promised", "peak", "ratio", "between", "lines")
    print(ROW.format(**dict(zip(titles, [*titles[:-1], "promised by line (GB)"], strict=True))), flush=True)
    missed = 0
    with tempfile.TemporaryDirectory() as home:
        for method in options.methods:
            for dtype in options.dtype:
                told = ["--steps", str(options.steps), "--rows-per-step", str(options.rows_per_step)]
                told += ["--longer", str(options.longer), *(["--chats"] if options.chats else [])]
                found = in_process(
                    __file__, [*told, "--contender", f"{method}:{dtype}"], environment={"SHADOWNB_HOME": home}
                )
                for one in found["runs"]:
                    missed += not 0.85 <= one["promised"] / one["peak"] <= 1.15
                    show(method, dtype, one)
    print(f"{missed} promises are further than 15 % from the peak.")


def show(method: str, dtype: str, one: dict[str, Any]) -> None:
    """Print a promise beside its peak."""
    print(
        ROW.format(
            method=method,
            dtype=dtype,
            when=one["when"],
            promised=f"{one['promised']:.2f} GB",
            peak=f"{one['peak']:.2f} GB",
            ratio=f"{one['promised'] / one['peak']:.2f}",
            between=f"{one['low']:.2f} to {one['high']:.2f}",
            lines=", ".join(f"{name} {gb:.2f}" for name, gb in one["lines"]),
        ),
        flush=True,
    )


def measure(method: str, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps in this process; return what was promised and what was measured."""
    import shadownb as snb
    from shadownb.engine.estimate import estimate

    model = snb.load(MODEL, dtype=dtype, quantize="4bit" if method == "qlora" else None)
    rows = rows_for(snb.methods.get(method), options.longer)
    chosen: dict[str, Any] = {
        "method": method,
        "max_steps": options.steps,
        "per_device_train_batch_size": options.rows_per_step,
        "gradient_accumulation_steps": 1,
        "sample_max_new_tokens": 0,
    }
    if snb.methods.get(method).objective == "grpo":
        chosen |= {"reward_fns": [shorter], "max_completion_length": 32}
    runs = []
    for when in ("after chats", "and once more") if options.chats else ("at once",):
        if options.chats:
            ask(model)
        promised = estimate(model, snb.TrainConfig(**chosen), rows)
        run = model.train(rows, background=False, start="trained", **chosen)
        runs.append(
            {
                "when": when,
                "promised": promised.expected_gb,
                "low": promised.low_gb,
                "high": promised.high_gb,
                "lines": promised.lines,
                "peak": run.peak_memory_gb,
            }
        )
    return {"runs": runs}


def shorter(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """A reward that differs between most answers, so that every group trains."""
    return [-len(str(completion)) / 100 for completion in completions]


def ask(model: Any) -> None:
    """Answer questions, several at a time and one after the other, as somebody who tries the model does."""
    rows = [row["messages"][:-1] for row in rows_for(None, 1).canonical_rows()[:24]]
    model.chat(rows[:16], max_new_tokens=32)
    for row in rows[16:]:
        model.chat(row, max_new_tokens=32)


def rows_for(spec: Any, longer: int) -> Any:
    """Return the shipped task in the shape that the method learns from."""
    import shadownb as snb

    if spec is not None and spec.objective in ("dpo", "kto"):
        return snb.Dataset.from_list(make_pairs(96))
    talks = [row["messages"] for row in snb.Dataset.sample("support-triage").canonical_rows()]
    if spec is not None and spec.objective == "grpo":
        return snb.Dataset.from_list([{"prompt": talk[:-1]} for talk in talks])
    if spec is not None and spec.name == "cpt":
        return snb.Dataset.from_list([{"text": " ".join(m["content"] for m in talk)} for talk in talks])
    joined = [
        [talks[n][0], *(m for talk in talks[n : n + longer] for m in talk[1:])] for n in range(0, len(talks), longer)
    ]
    return snb.Dataset.from_list([{"messages": talk} for talk in joined])


if __name__ == "__main__":
    main()
