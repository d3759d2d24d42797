"""What the engine leaves alone: the import, the notebook layer, the network, the user's random numbers and output."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import shadownb as snb

PACKAGE = Path(snb.__file__).parent
SMALL: dict[str, Any] = {"max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}


# -- imports ------------------------------------------------------------------------------------------------------------

HEAVY = ("torch", "transformers", "peft", "trl", "plotly", "pandas", "numpy", "ipywidgets", "anywidget", "IPython")


def test_import_is_fast_and_light() -> None:
    code = (
        "import sys, time; started = time.perf_counter(); import shadownb; took = time.perf_counter() - started;"
        f"print(took, *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    seconds = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert out[1:] == [], f"import shadownb loads {out[1:]}"
        seconds.append(float(out[0]))
        if seconds[-1] < 0.3:
            return
    pytest.fail(f"import shadownb took {min(seconds):.2f} s at best")


NOTEBOOK = ("IPython", "ipywidgets", "anywidget", "ipykernel", "shadownb.panels", "shadownb.magics")
MAY_DRAW = {"runs/curves.py", "runs/comparison.py", "exports/result.py"}  # inside functions that make a figure


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield (module, whether inside a function) of every import that can run; those for type checkers cannot."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{alias.name}", inside) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from ((arg.value, True) for arg in node.args if isinstance(arg, ast.Constant))
        yield from imports(node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def belongs(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_the_engine_knows_no_notebook() -> None:
    files = sorted((PACKAGE / "engine").rglob("*.py"))
    assert len(files) > 50
    wrong = []
    for file in files:
        name = file.relative_to(PACKAGE / "engine").as_posix()
        for module, inside in imports(ast.parse(file.read_text(encoding="utf-8"))):
            draws = belongs(module, ("plotly",)) and not (inside and name in MAY_DRAW)
            if draws or belongs(module, NOTEBOOK):
                wrong.append(f"{name} imports {module}")
    assert not wrong


# -- a whole life of a model, watched from outside ----------------------------------------------------------------------

TRAP = """
import os, sys

def _note(event, args):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        return
    place = args[1] if event.startswith(("socket.connect", "socket.send")) else args[0]
    host = place[0] if isinstance(place, tuple) else place
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode(errors="replace")
    local = host is None or str(host) in ("localhost", "::1", "") or str(host).startswith(("127.", "/"))
    if not local:
        descriptor = os.open(os.environ["TRAP_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{os.getpid()} {event} {place}\\n".encode())
        os.close(descriptor)

sys.addaudithook(_note)
with open(os.environ["TRAP_LOG"] + ".armed", "a") as armed:
    armed.write(f"{os.getpid()}\\n")
"""

_PROGRAMS = ("worker.py", "harness.py", "inside.py")  # run in processes of their own, and are imported nowhere

NO_NOTEBOOK = """
class _OutOfReach:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("IPython", "ipywidgets", "anywidget", "plotly") or name == "shadownb.panels":
            raise ImportError(f"{name} is out of reach")

sys.meta_path.insert(0, _OutOfReach())
"""

LIFE = """
import importlib, json, sys
import shadownb as snb

rows, out = json.loads(sys.argv[1]), sys.argv[2]
options = dict(background=True, max_steps=3, eval_dataset="auto", eval_steps=2, sample_max_new_tokens=4, save_steps=1,
               per_device_train_batch_size=2, gradient_accumulation_steps=1)
model = snb.load("smollm2-135m", max_length=256)
assert model.public_name == "HuggingFaceTB/SmolLM2-135M-Instruct"
run = model.train(rows, lora_r=4, lora_dropout=0.1, gradient_checkpointing="on", **options)
run.wait(raise_on_failure=True)
assert run.samples() and run.eval_metrics
model.generate(["a", "b"], max_new_tokens=2)
model.generate("a", max_new_tokens=2, use="base")
"".join(model.stream("a", max_new_tokens=2))
adapter = model.save(out + "/adapter")
merged = model.save(out + "/merged", fmt="merged")
for name in (run.id, str(adapter), str(merged)):
    snb.load(name).generate("a", max_new_tokens=2)
worker = model.train(rows, executor="process", start="trained", **options)
worker.wait(raise_on_failure=True)
assert model.trained == (worker.id, 3)
whole = snb.load("smollm2-135m", max_length=256)
run = whole.train(rows, method="full", **options)
run.wait(raise_on_failure=True)
whole.generate("a", max_new_tokens=2, use="base")
snb.load(run.id)
eight = snb.load("smollm2-135m", quantize="8bit")
eight.generate("a", max_new_tokens=2)
for dtype in ("float32", "bfloat16"):
    four = snb.load("smollm2-135m", quantize="4bit", dtype=dtype, max_length=256)
    four.train(rows, method="qlora", **{**options, "max_steps": 2}).wait(raise_on_failure=True)
    four.generate("a", max_new_tokens=2)
    four.save(out + "/four")
for name in sys.argv[3:]:
    importlib.import_module(name)
"""


@dataclass
class Life:
    done: subprocess.CompletedProcess[str]
    network: str
    watched: list[str]
    worker_logs: str


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Life:
    """Load, train in a thread and in a process, evaluate, sample, answer, save and load again, in a process of its own.

    It has no notebook packages and no plotly, and at the end imports every module of the engine.

    The tiny model stands where the converted smollm2-135m would, so that it has a name on the hub. Its settings for sampling
    contradict each other, as those of some published models do, which transformers remarks on at every load.
    """
    folder = tmp_path_factory.mktemp("life")
    (folder / "sitecustomize.py").write_text(TRAP + NO_NOTEBOOK)
    base = folder / "home" / "models" / "smollm2-135m"
    shutil.copytree(tiny_model_dir, base)
    settings = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**settings, "do_sample": False, "temperature": 0.6}))
    hidden = ("CI", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in (*hidden, "DO_NOT_TRACK")}
    log = folder / "network.log"
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment |= {"SHADOWNB_HOME": str(folder / "home"), "PYTHONPATH": path, "TRAP_LOG": str(log)}
    rows = [
        {"messages": [{"role": "user", "content": f"Colour {n}?"}, {"role": "assistant", "content": f"C {n % 7}"}]}
        for n in range(12)
    ]
    modules = [
        "shadownb." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((PACKAGE / "engine").rglob("*.py"))
        if file.name not in _PROGRAMS
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIFE, json.dumps(rows), str(folder), *modules],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    logs = [path.read_text() for path in folder.glob("home/runs/*/worker.log")]
    return Life(
        done,
        log.read_text() if log.exists() else "",
        Path(f"{log}.armed").read_text().split(),
        "\n".join(logs),
    )


@pytest.mark.other_cpu("auto")
def test_the_life_succeeds_where_there_is_no_notebook(life: Life) -> None:
    assert life.done.returncode == 0, life.done.stderr[-3000:] + life.worker_logs[-2000:]
    assert len(set(life.watched)) >= 2, "the worker process was not watched"


def test_nothing_is_sent_to_any_host(life: Life) -> None:
    assert life.network == ""


def test_the_trap_catches_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TRAP)
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 0.01)\nexcept OSError: pass"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TRAP_LOG": str(tmp_path / "log")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "192.0.2.1" in (tmp_path / "log").read_text()


@pytest.mark.other_cpu("auto")
def test_nothing_is_printed(life: Life) -> None:
    """By us only where a person looks on (this is no terminal), and never by a library."""
    assert life.done.stdout == ""
    assert life.done.stderr == ""


# -- the user's random numbers ------------------------------------------------------------------------------------------


def states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tolist(), rest, torch.get_rng_state().tolist()


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_random_numbers_of_the_user_stay(
    home: Path, tiny_model_dir: Path, rows: list[Any], method: str, background: bool
) -> None:
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    before = states()
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    assert states() == before, "loading draws from the user's generators"
    more: dict[str, Any] = {"lora_r": 4, "lora_dropout": 0.2} if method == "lora" else {}
    run = model.train(
        rows, method=method, background=background, eval_dataset="auto", sample_max_new_tokens=3, **SMALL, **more
    )
    run.wait(timeout=120, raise_on_failure=True)
    assert states() == before, "training does"
    model.generate("Colour?", max_new_tokens=3, temperature=1.0)
    model.generate("Colour?", max_new_tokens=3, temperature=1.0, seed=5, use="base")
    assert states() == before, "answering does"
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
