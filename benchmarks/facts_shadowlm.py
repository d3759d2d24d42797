"""MoRE and MoRE+ beside ShadowLM 0.4.12, whose methods of these names are the nearest: what is recalled, and what learning costs.

``python benchmarks/facts_shadowlm.py [--facts 12] [--method more_plus more] [--venv PATH]`` needs ShadowLM in an environment of its
own (see ``shadowlm.py``, which installs it). Both sides learn the same facts on the same base in fp32 on one thread; ShadowLM as it
comes, with its own steps, rates and router. CPU seconds are of the process of each side, without loading.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser.add_argument("--facts", type=int, default=12)
    parser.add_argument("--method", nargs="+", default=["more_plus"])
    parser.add_argument("--venv", type=Path, default=cache / "shadownb" / "benchmarks" / "shadowlm-0.4.12")
    parser.add_argument(
        "--steps", type=int, default=0, help="of an expert, on both sides; 0 is what each takes by itself"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="of learning, on both sides; 0 is what each takes by itself"
    )
    parser.add_argument(
        "--one-wording", action="store_true", help="ours learns the question as it stands alone, as theirs does"
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        theirs(given.folder, given.method[0], given.steps, given.rate)
        return
    from facts import lines, read, says, share
    from shadowlm import prepare

    import shadownb as snb

    every = read("facts_eval/facts.psv")
    rows = every[:: max(1, len(every) // given.facts)][: given.facts]
    off_topic = lines("facts_eval/off_topic.txt")[:: max(1, 100 // given.facts)][: given.facts]
    asked = {
        "verbatim": [row["question"] for row in rows],
        "paraphrase": [row[f"paraphrase {n}"] for row in rows for n in (1, 2)],
    }
    values = {"verbatim": [row["value"] for row in rows], "paraphrase": [row["value"] for row in rows for _ in (1, 2)]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1, "")
        names = (
            folder / "base" / "tokenizer_config.json"
        )  # or its older transformers would give what the model does not take
        names.write_text(
            json.dumps({**json.loads(names.read_text()), "model_input_names": ["input_ids", "attention_mask"]})
        )
        learned = [{"prompt": row["question"], "completion": row["value"]} for row in rows]
        (folder / "facts.json").write_text(json.dumps({"rows": learned, "asked": {**asked, "off topic": off_topic}}))
        for method in given.method:
            model = snb.load("smollm2-135m", dtype="float32", max_length=256)
            options: dict[str, Any] = {"learning_rate": given.rate} if given.rate else {}
            if method == "more_plus":
                options |= {"expert_steps": given.steps} if given.steps else {}
                options |= {"question_forms": 1} if given.one_wording else {}
            started = time.process_time()
            model.train(learned, method=method, background=False, sample_max_new_tokens=0, **options)
            spent = time.process_time() - started
            said: dict[str, Any] = {
                kind: model.generate(each, max_new_tokens=20, temperature=0.0) for kind, each in asked.items()
            }
            tell(f"ShadowNB {method}", spent, said, values, len(rows), says, share)
            ours = spent
            command = [str(given.venv / "bin" / "python"), __file__, "--folder", str(folder), "--method", method]
            surroundings = {**os.environ, "PYTHONPATH": ""}
            done = subprocess.run(
                [*command, "--steps", str(given.steps), "--rate", str(given.rate)],
                check=False, capture_output=True, text=True, env=surroundings,
            )  # fmt: skip
            if done.returncode:
                print(f"ShadowLM {method}: failed: {done.stderr[-800:]}")
                continue
            found = json.loads((folder / f"{method}.json").read_text())
            tell(f"ShadowLM {method}", found["seconds"], found["said"], values, len(rows), says, share)
            changed = sum(one != other for one, other in zip(found["said"]["off topic"], found["base"], strict=True))
            print(f"  {changed} of {len(off_topic)} unrelated answers changed; "
                  f"to learn a fact takes it {found['seconds'] / ours:.1f} times what it takes ours", flush=True)  # fmt: skip


def tell(side: str, spent: float, said: Any, values: Any, count: int, says: Any, share: Any) -> None:
    print(f"{side}: {spent:.1f} s of CPU to learn, {spent / count:.2f} s a fact", flush=True)
    for kind, each in values.items():
        print(f"  {kind}: {share(says(said[kind], each), len(each))}", flush=True)


def theirs(folder: Path, method: str, steps: int, rate: float) -> None:
    """In ShadowLM's environment: learn, ask, write down what came out."""
    import importlib

    here = Path(__file__).resolve().parent
    sys.path[:] = [
        path for path in sys.path if Path(path).resolve() != here
    ]  # or shadowlm.py beside this file would be imported
    shadowlm: Any = importlib.import_module("shadowlm")
    content = json.loads((folder / "facts.json").read_text())
    model = shadowlm.load(str(folder / "base"), accelerator="none", max_seq_length=256, verbose=False)
    asking: dict[str, Any] = {"max_new_tokens": 20, "temperature": 0.0}
    ask = lambda question: model.chat([{"role": "user", "content": question}], **asking).content  # noqa: E731
    base = [ask(question) for question in content["asked"]["off topic"]]
    rows = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in content["rows"]
    ]
    options: dict[str, Any] = {"more_plus_expert_steps": steps} if steps and method == "more_plus" else {}
    options |= {"learning_rate": rate} if rate else {}
    started = time.process_time()
    model.finetune(rows, method=method, output_dir=str(folder / f"run-{method}"), verbose=False, **options)
    spent = time.process_time() - started
    said = {kind: [ask(question) for question in each] for kind, each in content["asked"].items()}
    (folder / f"{method}.json").write_text(json.dumps({"seconds": spent, "said": said, "base": base}))


if __name__ == "__main__":
    main()
