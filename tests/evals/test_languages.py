"""Programs of several languages are graded as they run: solutions pass, bugs fail, and what is not installed fails nobody."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import installed, languages
from shadownb.engine.evals.suites.coding.humanevalpack import HumanEvalFix, HumanEvalPack
from shadownb.engine.evals.suites.coding.multipl_e import MultiPlE
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ConfigError, DataError, MissingDependencyError, ShadowError, ShadowWarning

TOOLS = {"cpp": "g++", "go": "go", "java": "javac", "js": "node", "rust": "rustc", "rs": "rustc", "sh": "bash", "pl": "perl",
         "ts": "tsc"}  # fmt: skip


TYPESCRIPT = Path(__file__).parents[2] / "widgets/node_modules/.bin"  # that of the front end, where it was built


@pytest.fixture(autouse=True, scope="module")
def tsc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if shutil.which("tsc") is None and (TYPESCRIPT / "tsc").exists():
            patch.setenv("PATH", f"{TYPESCRIPT}{os.pathsep}{os.environ['PATH']}")
        yield


def ready(suite: Any) -> Any:
    """Return a suite, or skip where its data or its tool is not here."""
    for language in suite._languages:
        if language in TOOLS and shutil.which(TOOLS[language]) is None:
            pytest.skip(f"{TOOLS[language]} is not installed")
    try:
        suite.items()
    except ShadowError as error:
        pytest.skip(f"SHADOWNB_DATA has no data of {suite.name}: {error.what}")
    return suite


def graded(suite: Any, asked: list[tuple[Item, str]]) -> list[Verdict]:
    found: list[Verdict] = suite.grade([(item, Turn(answer)) for item, answer in asked])
    return found


def alone(suite: Any, item: Item) -> str:
    """Return the function without what stands before it in the prompt, as most models answer."""
    task = suite._tasks[item.id]
    if task.language == "python":
        return f"{item.row['prompt']}{item.expected}"
    head = languages.head_of(task.language, task.prompt, task.name)
    text = f"{item.row['prompt']}{item.expected}"[len(head) :]
    return text.rpartition("}")[0] if task.language == "java" else text  # of the class


# Reference solutions that cannot be told here, or fail, of 164 each, and why.
EXCEPTIONS = {
    "js": {"js/162": "js-md5"},
    "cpp": {"cpp/22": "boost", "cpp/137": "boost"},
    "rust": {f"rust/{number}": "crate" for number in (32, 38, 50, 53, 91, 162)},
}


@pytest.mark.parametrize(
    ("language", "step"), [("js", 27), ("cpp", 164), ("rust", 82), ("java", 164), ("go", 164), ("python", 41)]
)
def test_reference_solutions_pass_and_each_bug_fails(language: str, step: int, request: pytest.FixtureRequest) -> None:
    suite = ready(HumanEvalPack(language))
    items = suite.items()
    assert len(items) == 164
    some = items if request.config.getoption("--full") else items[23::step]
    whole = [(i, f"Here it is:\n\n```{language}\n{i.row['prompt']}{i.expected}\n```\n") for i in some]
    bodies = [(i, i.expected) for i in some[: 164 // step]]
    asked = [*whole, *bodies, *((i, f"```{language}\n{alone(suite, i)}\n```") for i in some[: 164 // step])]
    missed = [(i.id, v.value, v.reason) for (i, _), v in zip(asked, graded(suite, asked), strict=True) if v.value != 1]
    known = EXCEPTIONS.get(language, {})
    assert not [each for each in missed if each[0] not in known], missed
    assert all(value is None for _, value, _ in missed), "a library that is missing is no failed item"
    bugs = [(i, f"```{language}\n{i.row['prompt']}{i.row['buggy_solution']}\n```") for i in some]
    assert {v.value for v in graded(suite, bugs)} <= {0.0, None}


def test_a_helper_of_the_prompt_may_be_repeated_or_left_out() -> None:
    """An answer with the helper again would define it twice, one without it would lack it."""
    suite = ready(HumanEvalPack("js"))
    item = suite.items()[38]
    whole = f"{item.row['prompt']}{item.expected}"
    begin = whole.index("const decodeCyclic")
    assert "const encodeCyclic" in whole[:begin]
    found = graded(suite, [(item, f"```js\n{whole}```"), (item, f"```js\n{whole[begin:]}```")])
    assert [v.value for v in found] == [1.0, 1.0], found
    named = suite.items()[32]  # whose comment names the function itself
    (found_alone,) = graded(suite, [(named, f"```js\n{alone(suite, named)}\n```")])
    assert found_alone.value == 1.0, found_alone


def test_what_is_to_be_repaired_is_shown_with_its_tests() -> None:
    suite = ready(HumanEvalFix("js"))
    item = suite.items()[0]
    asked = item.messages[-1]["content"]
    assert item.row["buggy_solution"] in asked and item.row["test"] in asked
    right, same = graded(
        suite,
        [
            (item, f"The distance has a sign.\n```javascript\n{item.row['prompt']}{item.expected}```"),
            (item, f"```javascript\n{item.row['prompt']}{item.row['buggy_solution']}```"),
        ],
    )
    assert (right.value, same.value) == (1.0, 0.0)


# x + y, as models write it: a body, a whole function with a main of its own, one that is wrong, one that ends early.
ADD: dict[str, tuple[list[str], list[str]]] = {
    "js": (
        ["  return x + y;\n}", "Sure:\n```javascript\nconst add = (x, y) => x + y;\nconsole.log(add(1, 2));\n```"],
        ["```js\nfunction add(x, y) { return x - y; }\n```", "```js\nfunction add(x, y) { process.exit(0); }\n```"],
    ),
    "cpp": (
        ["    return x + y;\n", "```cpp\nlong add(long x, long y) { return x + y; }\nint main() { return add(1, 2); }\n```"],
        ["```cpp\n#include <cstdlib>\nlong add(long x, long y) { std::exit(0); }\n```"],
    ),
    "rs": (
        ["    x + y", "```rust\nfn add(x: isize, y: isize) -> isize { x + y }\n\nfn main() { println!(\"{}\", add(1, 2)); }\n```"],
        ["```rust\nfn add(x: isize, y: isize) -> isize { std::process::exit(0) }\n```", "    x - y\n"],
    ),
    "sh": (
        ["    echo $(($1 + $2))\n", "```bash\nadd() {\n    echo $(($1 + $2))\n}\nadd 1 2\n```"],
        ["```sh\nexit 0\n```", "    echo $(($1 - $2))\n"],
    ),
    "pl": (
        ["    return $x + $y;\n}\n", "```perl\nsub add { return $_[0] + $_[1]; }\n```"],
        ["    exit 0;\n}\n", "    return 1;\n}\n"],
    ),
    "java": (
        [
            "        return x + y;\n",
            "```java\npublic class Problem {\n    public static long add(long x, long y) { return x + y; }\n"
            "    public static void main(String[] args) { System.out.println(add(1, 2)); }\n}\n```",
        ],
        ["        System.exit(0); return 0;\n"],
    ),
    "go": (["    return x + y\n}\n"], ["    return x - y\n}\n"]),
    "ts": (["    return x + y;\n}\n"], ["    return x - y;\n}\n"]),
}  # fmt: skip


@pytest.mark.parametrize("language", ADD)
def test_answers_go_on_from_the_prompt_or_are_whole(language: str) -> None:
    suite = ready(MultiPlE(language))
    item = next(i for i in suite.items() if "_53_add" in i.id)
    right, wrong = ADD[language]
    found = graded(suite, [(item, answer) for answer in [*right, *wrong]])
    assert [v.value for v in found] == [1.0] * len(right) + [0.0] * len(wrong), found


def test_solutions_of_one_set_are_solutions_of_the_other() -> None:
    """MultiPL-E has no solutions; bodies of HumanEvalPack's go on from the same signatures where the names agree."""
    pack, suite = ready(HumanEvalPack("js")), ready(MultiPlE("js"))
    bodies = {i.row["entry_point"].lower(): i.expected for i in pack.items()}
    asked = []
    for item in suite.items()[::10]:
        name = suite._tasks[item.id].name
        if (body := bodies.get(name.replace("_", ""))) is not None:
            asked.append((item, body))
    found = [v.value for v in graded(suite, asked)]
    assert len(asked) > 12 and found.count(1.0) > 0.8 * len(asked), found


def test_what_is_not_installed_is_named_and_fails_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    there = shutil.which
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    monkeypatch.setattr(
        shutil, "which", lambda tool, *a, **k: None if tool in ("go", "rustc") else there(tool, *a, **k)
    )
    monkeypatch.setattr(installed, "_WORKING", {})
    go, js = ready_data(HumanEvalPack("go")), ready_data(HumanEvalPack("go", "js"))
    with pytest.raises(MissingDependencyError, match="go is not installed"):
        graded(go, [(go.items()[0], "x")])
    items = js.items()
    one, other = graded(js, [(items[0], "func f() {}"), (items[164], items[164].expected)])
    assert (one.value, one.outcome) == (None, "no toolchain") and "apt install golang" in one.reason
    assert other.value == 1.0 and items[0].cluster == items[164].cluster == "0"


def test_a_compiler_that_is_broken_fails_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else every answer would not compile; once it is mended, in the same process, it grades."""
    ready(MultiPlE("js"))
    suite = ready_data(MultiPlE("ts", "js"))
    monkeypatch.setattr(installed, "_WORKING", {})
    items = [next(i for i in suite.items() if i.id == f"{language}/HumanEval_53_add") for language in ("ts", "js")]
    asked = [(item, "    return x + y;\n}\n") for item in items]
    with monkeypatch.context() as patch:
        broken = tmp_path / "bin/tsc"
        broken.parent.mkdir()
        broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        broken.chmod(0o755)
        patch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
        typed, plain = graded(suite, asked)
    assert (typed.value, typed.outcome, plain.value) == (None, "no toolchain", 1.0) and "tsc cannot" in typed.reason
    ready(suite)  # skips where there is no other
    assert [v.value for v in graded(suite, asked)] == [1.0, 1.0]


def test_a_program_of_typescript_is_graded_for_its_types_too() -> None:
    """As by MultiPL-E's harness: what the compiler refuses is not run, and what it lets pass may be of no type at all."""
    pack, suite = ready(HumanEvalPack("js")), ready(MultiPlE("ts"))
    bodies = {i.row["entry_point"].lower(): i.expected for i in pack.items()}
    asked = [
        (item, bodies[name])
        for item in suite.items()[::20]
        if (name := suite._tasks[item.id].name.replace("_", "").lower()) in bodies
    ]
    found = {item.id: verdict for (item, _), verdict in zip(asked, graded(suite, asked), strict=True)}
    refused = {name: verdict.reason for name, verdict in found.items() if verdict.outcome == "does not compile"}
    assert sorted(refused) == ["ts/HumanEval_136_largest_smallest_integers", "ts/HumanEval_65_circular_shift"]
    assert all("error TS" in reason for reason in refused.values())
    assert len(found) == 8 and {v.outcome for v in found.values()} == {"passed", "does not compile"}


def ready_data(suite: Any) -> Any:
    try:
        suite.items()
    except ShadowError as error:
        pytest.skip(f"no data: {error.what}")
    return suite


def test_a_library_that_the_answer_alone_wants_is_its_fault() -> None:
    suite = ready(HumanEvalPack("js"))
    item = suite.items()[0]
    (found,) = graded(suite, [(item, f"```js\nconst x = require('lodash');\n{item.row['prompt']}{item.expected}```")])
    assert found.value == 0.0 and "lodash" in found.reason


def test_parts_of_a_suite_by_name() -> None:
    assert suites.get("humanevalpack:js,cpp").name == "humanevalpack-js-cpp"
    assert suites.get("multipl_e:rs").name == "multipl_e-rs"
    assert suites.get("humaneval:continue").name == "humaneval-continue"
    with pytest.raises(ConfigError, match="language='cobol'"):
        snb.suites.get("humanevalpack:cobol")
    with pytest.raises(ConfigError, match="no part"):
        snb.suites.get("mbpp:js")


@pytest.mark.parametrize(
    ("language", "code", "name", "is_so"),
    [
        ("cpp", "vector<int> f(vector<int> x) {", "f", True),
        ("cpp", "  return f(x) + 1;\n}", "f", False),
        ("java", "    public static List<Integer> f(int x) {", "f", True),
        ("js", "const f = (x) => x", "f", True),
        ("js", "  return f(x)", "f", False),
        ("rs", "pub fn f(x: i32) -> i32 {", "f", True),
        ("sh", "f() {", "f", True),
        ("go", "func f(x int) int {", "f", True),
        ("cpp", "std::string *f (int a,\n  int b) const {", "f", True),
        ("cpp", "vector<string>f(int x){", "f", True),
        ("java", "  >>> f(1)\n", "f", False),
        ("java", "/* >>> f(1)\n  static int g() { */ int x; {", "f", False),
        ("java", "    Map<String, List<Integer>> f(int x) throws IOException {", "f", True),
        ("java", " " * 30_000 + "\t" * 30_000, "f", False),
        ("cpp", "int " * 10_000 + " " * 30_000, "f", False),
    ],
)
def test_a_definition_is_told_from_a_call(language: str, code: str, name: str, is_so: bool) -> None:
    assert languages.defines(language, code, name) is is_so


def test_a_language_whose_problems_are_not_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error; of all, the others are asked and it is named."""
    row = {"name": "a", "prompt": "fn f() {", "tests": "}", "stop_tokens": []}
    folder = tmp_path / "multipl_e"
    folder.mkdir()
    (folder / "humaneval-rs-reworded.jsonl").write_text(json.dumps(row), encoding="utf-8")
    monkeypatch.setenv("SHADOWNB_DATA", str(tmp_path))
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    for constants in ("huggingface_hub.constants", "datasets.config"):  # without a network they try for three minutes
        monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="data of MultiPL-E"):
        MultiPlE("rs", "js").items()
    with pytest.warns(ShadowWarning, match="without cpp, go, java, js, pl, sh, ts"):
        assert [item.id for item in MultiPlE().items()] == ["rs/a"]
