"""How long grading takes: ``python benchmarks/grading.py [humaneval] [answers] [languages] [sql] [postgres]``; all without one.

humaneval   164 problems, 5 different completions each, in the sandbox (aim: under 60 s on two cores)
answers     the same as a model writes them, in prose and fences, so that each is graded by three rules of extraction
languages   the 164 solutions of HumanEvalPack in each language whose toolchain is here (aim: under 8 min for six)
sql         190 reference queries on SQLite (aim: 190 right in under 2 s)
postgres    the same on a Postgres that is started for it (aim: 182 right in under 20 s)

Prints seconds by the clock beside the load of the machine, and what is not right with the reason. The aims are of idle cores; CPU
seconds are not told, because bubblewrap does not hand on those of what it ran.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn

Asked = list[tuple[Item, Turn]]


def measured(title: str, suite: Any, asked: Asked) -> None:
    """Grade, and print how long it took and what is not right."""
    began = time.perf_counter()
    graded = suite.grade(asked)
    best: dict[Any, Verdict] = {}  # of several queries that are right for a question one may be of the other dialect
    for (item, answer), verdict in zip(asked, graded, strict=True):
        key = item.id if suite.name == "sql-postgres" else (item.id, answer.text)
        if key not in best or (verdict.value or 0) > (best[key].value or 0):
            best[key] = verdict
    verdicts = list(best.values())
    wall = time.perf_counter() - began
    right = sum(verdict.value == 1 for verdict in verdicts)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{title:12} {right} of {len(verdicts)} right; {wall:.1f} s ({load})", flush=True)
    others = Counter(f"{v.outcome}: {v.reason[:70]}" for v in verdicts if v.value != 1)
    for reason, count in others.most_common(8):
        print(f"             {count} {reason}")


def humaneval(fenced: bool) -> None:
    """Grade five ways to write each solution."""
    suite = suites.get("humaneval")
    asked = []
    for item in suite.items():
        for number in range(5):
            body = f"{item.expected.rstrip()}\n# {number}\n"
            text = f"Here:\n```python\n{item.row['prompt']}{body}```\nAs asked." if fenced else body
            asked.append((item, Turn(text, raw=text, continues=not fenced)))
    measured("answers" if fenced else "humaneval", suite, asked)


def languages() -> None:
    """Grade the solutions of each language."""
    for language in ("python", "js", "java", "cpp", "rust", "go"):
        suite = suites.get(f"humanevalpack:{language}")
        asked = [
            (item, Turn(f"```{language}\n{item.row['prompt']}{item.expected}\n```".replace("```js", "```javascript")))
            for item in suite.items()
        ]
        try:
            measured(language, suite, asked)
        except Exception as error:
            print(f"{language:12} {str(error).splitlines()[0]}")


def sql(engine: str) -> None:
    """Grade the reference queries; Postgres is started within the time."""
    suite: Any = suites.get(f"sql:{engine}")
    asked = [
        (item, Turn(f"```sql\n{query}\n```"))
        for item in suite.items()
        for query in ([item.expected] if engine == "sqlite" else suite._references(item))
    ]
    measured(suite.name, suite, asked)


PARTS: dict[str, Callable[[], None]] = {
    "humaneval": lambda: humaneval(fenced=False),
    "answers": lambda: humaneval(fenced=True),
    "languages": languages,
    "sql": lambda: sql("sqlite"),
    "postgres": lambda: sql("postgres"),
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
