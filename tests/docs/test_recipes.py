"""The recipes of CONTRIBUTING.md, as somebody follows them who has only that page: installed as a package, and run by its name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shadownb.engine import registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

# What each recipe's "Try it" prints, as its last lines.
PRINTS = {
    "method": "succeeded 64 True",
    "objective": r"succeeded 0\.3 \[\d\.\d, \d\.\d\]",
    "backend": "succeeded one_thread 1",
    "executor": "succeeded here",
    "scorer": "first_word",
    "environment": r"2 [01]\.\d+",
    "suite": r"5 \{'read': 5\}",
    "exporter": r"After step 1 of run \S+: lora\.\nlora",
    "panel": r"\['Steps'\] \S+: step 2 of 2",
}


def recipes() -> dict[str, tuple[str, str]]:
    """Return file and trial of each recipe, by what it adds."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        heading, _, body = section.partition("\n")
        blocks = dict(_BLOCK.findall(body.split("\n## ")[0]))
        if blocks:
            found[heading.split()[-1]] = (blocks[f"my_plugin/{heading.split()[-1]}.py"], blocks["Try it"])
    return found


RECIPES = recipes()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the recipes, installed by pip from the sources that the page shows."""
    source, target = tmp_path_factory.mktemp("my-plugin"), tmp_path_factory.mktemp("site-packages")
    (source / "pyproject.toml").write_text(dict(_BLOCK.findall(PAGE))["pyproject.toml"], encoding="utf-8")
    package = source / "my_plugin"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, (code, _) in RECIPES.items():
        (package / f"{name}.py").write_text(code, encoding="utf-8")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


# A process that knows the package: each trial by itself, as if it were the only one, though torch is loaded once for all.
_ALL = """
import contextlib, io, json, os, sys, traceback, warnings, shadownb
warnings.simplefilter("error", shadownb.ShadowWarning)
trials, done = json.load(sys.stdin), {}
for name, code in trials.items():
    os.makedirs(name)
    said = io.StringIO()
    with contextlib.chdir(name), contextlib.redirect_stdout(said):
        os.environ["SHADOWNB_HOME"] = os.path.abspath("home")
        try: exec(compile(code, name, "exec"), {"__name__": "__main__"})
        except BaseException: traceback.print_exc(file=said)
    done[name] = said.getvalue().strip()
json.dump(done, sys.__stdout__)
"""

_LISTED = """
from shadownb.cli import main
from shadownb.panels._form import form_fields
main(["methods"]); main(["train", "--help"])
print([f["choices"] for f in form_fields() if f["name"] == "executor"])
"""


@pytest.fixture(scope="module")
def printed(installed: Path, byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each trial prints in a fresh process, on a tiny model, and what that process lists."""
    named = {name: trial.replace('"smollm2-135m"', repr(str(byte_model_dir))) for name, (_, trial) in RECIPES.items()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", _ALL],
        cwd=tmp_path_factory.mktemp("trials"), env=environment, input=json.dumps({"listed": _LISTED, **named}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


# A guest is half a package (docs/architecture.md), an eraser comes with what keeps rows, anything with `chat` is a teacher
# already, and `scorer_of` says what the name before an @ makes a scorer of.
WITHOUT = {"model", "run_store", "capture_store", "guest", "embedder", "eraser", "teacher", "scorer_of"}


def test_there_is_a_recipe_for_what_a_package_can_add() -> None:
    assert set(RECIPES) == set(PRINTS)
    assert set(RECIPES) == set(registry.kinds()) - WITHOUT


@pytest.mark.parametrize("name", PRINTS)
def test_a_recipe_does_what_it_promises(name: str, printed: dict[str, str]) -> None:
    assert re.search(PRINTS[name] + r"\Z", printed[name]), printed[name]


def test_what_the_recipes_add_is_listed_as_ours_is(printed: dict[str, str]) -> None:
    """In the table of methods, the choices of options, and the form of the Train panel."""
    out = printed["listed"]
    assert "Wide LoRA" in out and "Calm LoRA" in out
    assert "--calmness" in out and "[auto|torch|mlx|llamacpp|one_thread]" in out and "[auto|thread|process|here]" in out
    assert out.endswith("[['auto', 'thread', 'process', 'here']]"), out[-500:]
