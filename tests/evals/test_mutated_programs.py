"""Programs of HumanEval and MBPP changed by rule, with the verdicts that they deserve: all of them in ``--full``, else a sample."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.turns import Turn
from shadownb.errors import DataError


class Changed(NamedTuple):
    """An answer; ``right`` is None where only running the program tells, as with other order of arguments."""

    item: Item
    kind: str
    answer: str
    program: str
    right: float | None


class Rewritten(ast.NodeTransformer):
    """A program in which a name is another one wherever it stands."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.new if node.name == self.old else node.name
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.new if node.id == self.old else node.id
        return node


# What stands behind a right function and calls it in its place.
BEHIND = {
    "wrong type": "def {name}(*given):\n    return (right(*given), None)\n",
    "equal-valued numbers": (
        "def {name}(*given):\n    found = right(*given)\n    return float(found) if type(found) is int else found\n"
    ),
    "other argument order": "def {name}(*given):\n    return right(*given[::-1])\n",
    "one more": "def {name}(*given):\n    found = right(*given)\n    return found + 1 if type(found) in (int, float) else found\n",
    "a copy": "def {name}(*given):\n    import copy\n    return copy.deepcopy(right(*copy.deepcopy(given)))\n",
    "named arguments": "def {name}(**given):\n    return right(**given)\n",
}


def changed(item: Item, code: str, name: str) -> Iterator[Changed]:
    """Yield answers made of a right program."""
    kinds: dict[str, tuple[str, float | None]] = {
        "prose around": (f"Sure, here it is:\n\n```python\n{code}\n```\nIt is linear in time.", 1.0),
        "thought before": (f"<think>Maybe `def {name}(): pass`?</think>\n```py\n{code}\n```", 1.0),
        "prints": (f"```python\n{code}\nprint('done')\n```", 1.0),
        "main": (f"```python\n{code}\nif __name__ == '__main__':\n    print({name})\n```", 1.0),
        "two fences": (f"```python\n{code}\n```\nAn example:\n```text\n{name}(1)\n```", 1.0),
        "no fence": (code, 1.0),
        "renamed": (f"```python\n{ast.unparse(Rewritten(name, 'renamed').visit(ast.parse(code)))}\n```", 0.0),
        "cut": (f"```python\n{code[: len(code) * 2 // 3].rpartition('return')[0]}\n    return (\n```", 0.0),
        "exits": (f"```python\n{code}\nraise SystemExit(0)\n```", 0.0),
        "exits at once": (f"```python\nimport os\nos._exit(0)\n{code}\n```", 0.0),
        "prose alone": ("I would loop over the numbers and return the one that fits.", 0.0),
        "nothing": ("", 0.0),
    }
    for kind, (answer, right) in kinds.items():
        yield Changed(item, kind, answer, "", right)
    inner = ast.unparse(Rewritten(name, "right").visit(ast.parse(code)))
    verdicts = {"wrong type": 0.0, "a copy": 1.0}
    for kind, behind in BEHIND.items():
        program = f"{inner}\n\n{behind.format(name=name)}"
        yield Changed(item, kind, f"```python\n{program}```", program, verdicts.get(kind))


def of_humaneval(item: Item) -> tuple[str, str, str]:
    """Return right program, name, and tests of an item."""
    row = item.row
    return f"{row['prompt']}{item.expected}", row["entry_point"], f"{row['test']}\ncheck({row['entry_point']})"


def of_mbpp(item: Item) -> tuple[str, str, str]:
    tests = "\n".join([*(item.row.get("test_imports") or ()), *item.row["test_list"]])
    code = item.expected.replace("\r", "")
    called = [name for name in re.findall(r"^def (\w+)\(", code, re.MULTILINE) if re.search(rf"\b{name}\(", tests)]
    return code, called[-1] if called else "", tests


def passes(program: str, tests: str) -> float:
    """Whether a program of ours passes, run by plain Python in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{program}\n{tests}"], capture_output=True, timeout=60, check=False
    )
    return float(done.returncode == 0)


@pytest.mark.parametrize(("name", "parts"), [("humaneval", of_humaneval), ("mbpp", of_mbpp)])
def test_changed_programs_get_the_verdicts_that_they_deserve(
    name: str, parts: Any, request: pytest.FixtureRequest
) -> None:
    suite = suites.get(name)
    try:
        items = list(suite.items())
    except DataError as error:
        pytest.skip(error.what)
    # Tests that look only whether something is true take a pair for what is in it.
    usable = [item for item in items if parts(item)[1] and "==" in parts(item)[2]]
    full = request.config.getoption("--full")
    if full:
        made = [each for item in usable[:: len(usable) // 18] for each in changed(item, *parts(item)[:2])]
        assert len(made) >= 300
    else:  # each kind twice, of other problems
        some = usable[3 :: len(usable) // 18]
        made = [
            each
            for at, item in enumerate(some)
            for number, each in enumerate(changed(item, *parts(item)[:2]))
            if number % 9 == at % 9
        ][:36]
    with ThreadPoolExecutor(2) as pool:
        wanted = list(
            pool.map(lambda each: passes(each.program, parts(each.item)[2]) if each.right is None else each.right, made)
        )
    found = suite.grade([(each.item, Turn(each.answer)) for each in made])
    wrong = [
        (each.item.id, each.kind, want, verdict.value, verdict.reason)
        for each, want, verdict in zip(made, wanted, found, strict=True)
        if verdict.value != want
    ]
    assert not wrong, wrong[:8]
    kinds = Counter(each.kind for each in made)
    assert len(kinds) == 18 and min(wanted) == 0 and max(wanted) == 1
