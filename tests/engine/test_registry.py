"""Names that stand for implementations: every one resolves, mistakes say the next step, packages outside can add theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import shadownb as snb
from shadownb.engine import methods, registry
from shadownb.errors import ConfigError, MethodError, MissingDependencyError, ModelNotFoundError
from tests.engine.methods_data import OPTIONS, chats

OURS = [(kind, name) for kind in registry.kinds() for name in registry.names(kind)]


@pytest.fixture
def added() -> Iterator[None]:
    """A scorer by the name of ``ours``, taken back afterwards."""
    registry.register("scorer", "ours", "shadownb.engine.scoring:Exact")
    yield
    registry.unregister("scorer", "ours")


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_every_registered_name_stands_for_something(kind: str, name: str) -> None:
    found = registry.resolve(kind, name)
    assert found is methods.get(name) if kind == "method" else callable(found), registry.target(kind, name)


def test_what_is_resolved_is_the_thing_itself() -> None:
    assert registry.resolve("scorer", "json_exact") is snb.JsonExact
    assert registry.resolve("capture_store", "sqlite") is snb.CaptureStore


def test_an_unknown_name_or_kind_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"No scorer is named 'exct'\. Did you mean 'exact'\?[\s\S]*json_exact"):
        registry.resolve("scorer", "exct")
    for ask in (registry.names, lambda kind: registry.register(kind, "x", "a:b")):
        with pytest.raises(ConfigError, match=r"no kind of implementation 'scorers'\. Did you mean 'scorer'"):
            ask("scorers")


@pytest.mark.parametrize("target", ["", "module", "module:", ":name", "a b:c", "a:b:c", "a/b.py:c", 3, len])
def test_a_target_of_another_form_is_refused(target: object) -> None:
    with pytest.raises(ConfigError, match="'module:attribute'"):
        registry.register("scorer", "odd", target)  # type: ignore[arg-type]
    assert "odd" not in registry.names("scorer")


@pytest.mark.usefixtures("added")
def test_a_taken_name_is_kept_unless_replacing_is_meant() -> None:
    with pytest.raises(ConfigError, match=r"'ours' is registered already: shadownb\.engine\.scoring:Exact"):
        registry.register("scorer", "ours", "shadownb.engine.scoring:JsonExact")
    assert registry.resolve("scorer", "ours") is snb.Exact
    registry.register("scorer", "exact", "shadownb.engine.scoring:JsonExact", replace=True)
    assert registry.resolve("scorer", "exact") is snb.JsonExact
    registry.unregister("scorer", "exact")
    assert registry.resolve("scorer", "exact") is snb.Exact
    with pytest.raises(ConfigError, match="was added"):
        registry.unregister("scorer", "exact")


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("not_there_at_all:Scorer", MissingDependencyError, "Install the package that has not_there_at_all"),
        ("shadownb.engine.scoring:Nothing", ConfigError, "which does not exist"),
        ("breaks_when_imported:Scorer", ConfigError, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_said_when_it_is_asked_for(
    target: str, error: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_when_imported.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("scorer", "later", target)
    try:
        with pytest.raises(error, match=says):
            registry.resolve("scorer", "later")
    finally:
        registry.unregister("scorer", "later")


def test_a_broken_backend_keeps_no_other_from_its_folders(
    byte_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named where a folder may be its, and is not in the way of what another backend saved."""
    adapter = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    adapter.train(chats(), background=False, **{**OPTIONS, "max_steps": 1})
    saved = adapter.save(tmp_path / "adapter")
    (tmp_path / "breaks_as_backend.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("backend", "broken", "breaks_as_backend:Backend")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", snb.ShadowWarning)
            assert snb.load(str(saved), dtype="float32").adapter_kind == "lora"
        (tmp_path / "whose").mkdir()
        named = pytest.warns(snb.ShadowWarning, match="'broken' cannot be used: ZeroDivisionError")
        with named, pytest.raises(ModelNotFoundError):
            snb.load(str(tmp_path / "whose"))
    finally:
        registry.unregister("backend", "broken")


PLUGIN = """
def register(add):
    print("called", end=" ")
    add("scorer", "outside", "outside_package:Outside")

class Outside:
    pass

def half(add):
    add("scorer", "half", "outside_package:Outside")
    add("scorer", "exact", "outside_package:Outside")
"""


def installed(folder: Path, **plugins: str) -> dict[str, str]:
    """Put a package with entry points into a folder; return the environment of a process that finds it."""
    (folder / "outside_package.py").write_text(PLUGIN, encoding="utf-8")
    about = folder / "outside_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-package\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{name} = {target}" for name, target in plugins.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{registry.PLUGINS}]", *lines, ""]), encoding="utf-8")
    above = str(Path(snb.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), above])}


def told(code: str, environment: dict[str, str]) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_an_installed_package_adds_names_when_they_are_looked_for(tmp_path: Path) -> None:
    """Nothing of it is imported before, also in a process that begins in the middle of the engine, as workers do."""
    environment = installed(tmp_path, ours="outside_package:register")
    code = (
        "import sys; from shadownb.engine.scoring import Exact; from shadownb.engine import registry\n"
        "registry.resolve('scorer', 'exact'); print('outside_package' in sys.modules, end=' ')\n"
        "print(registry.resolve('scorer', 'outside').__name__, registry.names('scorer'))"
    )
    out, err = told(code, environment)
    assert out.startswith("False called Outside ('exact', 'json_exact', ") and out.endswith(", 'outside')"), err


def test_a_plugin_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    """What it added before it failed does not stay, it replaces nothing of ours, and the errors name it."""
    environment = installed(
        tmp_path, a="outside_package:half", b="outside_package:gone", ours="outside_package:register"
    )
    code = (
        "from shadownb.engine import registry\n"
        "print(registry.names('scorer'), registry.target('scorer', 'exact'))\n"
        "try: registry.resolve('scorer', 'half')\n"
        "except ValueError as error: print(error)"
    )
    out, err = told(code, environment)
    first, *rest = out.splitlines()
    assert first.startswith("called ('exact', 'json_exact', ") and "half" not in first
    assert first.endswith(", 'outside') shadownb.engine.scoring:Exact")
    assert "No scorer is named 'half'" in rest[0]
    for said in (err, "\n".join(rest)):
        assert "a (outside_package:half) could not be used: ConfigError" in said
        assert "b (outside_package:gone) could not be used: AttributeError" in said


SLOW = """
import threading
from shadownb.engine import registry

def register(add):
    add("scorer", "slow", "slow_plugin:Slow")

class Slow:
    pass

registry.register("scorer", "at_import", "slow_plugin:Slow")
"""


def test_a_plugin_that_registers_while_it_is_imported_elsewhere_holds_nobody_up(tmp_path: Path) -> None:
    """One thread lists names, and so imports the plugin; another imports it meanwhile, and so registers."""
    environment = installed(tmp_path, slow="slow_plugin:register")
    (tmp_path / "slow_plugin.py").write_text(SLOW, encoding="utf-8")
    code = (
        "import importlib._bootstrap as b, importlib.metadata as m, threading\n"
        "from shadownb.engine import registry\n"
        "importing, reached, load = threading.Event(), threading.Event(), m.EntryPoint.load\n"
        "m.EntryPoint.load = lambda self: (reached.set(), load(self))[1]\n"
        "def elsewhere():\n"
        "    with b._ModuleLockManager('slow_plugin'):  # as a thread has that begins to import it\n"
        "        importing.set(); reached.wait()\n"
        "        registry.register('scorer', 'meanwhile', 'a:b')\n"
        "threading.Thread(target=elsewhere, daemon=True).start(); importing.wait()\n"
        "lister = threading.Thread(target=lambda: print(registry.names('scorer')), daemon=True); lister.start()\n"
        "lister.join(60)\n"
    )
    out, err = told(code, environment)
    assert "'slow'" in out and "'at_import'" in out and "'meanwhile'" in out, err


METHODS = """
from shadownb import methods

WIDE = methods.get("lora").replace(name="wide", title="Wide LoRA", group="ours", default_learning_rate=1e-4)
LOST = WIDE.replace(name="lost", objective="an_objective_that_is_not_here")

def register(add):
    add("method", "wide", "method_package:WIDE")
    add("method", "lost", "method_package:LOST")
    add("method", "renamed", "method_package:WIDE")
    add("method", "broken", "method_package:NOTHING")
"""

SHOWN = """
import sys, warnings
import shadownb as snb
import contextlib, io
from shadownb.cli import main
from shadownb._verbs.completion import complete_method
from shadownb.panels._methods import method_choices

assert "method_package" not in sys.modules, "imported before anybody asked"
assert snb.TrainConfig(method="wide").resolved_learning_rate() == 1e-4, "by its name, before methods are listed"
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    names = [spec.name for spec in snb.methods.available()]
print(names[-2:], names[0])
print(*(str(one.message) for one in said))
warnings.simplefilter("ignore")
rows = {row["name"]: row for row in method_choices()}
print(rows["wide"]["title"], rows["wide"]["group"], rows["wide"]["blocked"], rows["lora"]["blocked"])
print(rows["lost"]["blocked"])
with contextlib.redirect_stdout(io.StringIO()) as table, contextlib.suppress(SystemExit): main(["methods"])
print("Wide LoRA" in table.getvalue())
print(complete_method(None, None, "wi"))
for name in ("renamed", "broken", "wid"):
    try: snb.TrainConfig(method=name)
    except ValueError as error: print(" ".join(str(error).split()))
"""


def test_a_method_of_an_installed_package_shows_wherever_ours_do(tmp_path: Path) -> None:
    """In the list, the Train panel's picker, the command line and completion; what is wrong with others hides nothing."""
    environment = installed(tmp_path, methods="method_package:register")
    (tmp_path / "method_package.py").write_text(METHODS, encoding="utf-8")
    out, err = told(SHOWN, environment)
    listed, warned, shown, blocked, printed, completed, renamed, broken, typo = out.splitlines()
    assert listed == "['wide', 'lost'] lora", err
    assert "'renamed' is registered as 'method_package:WIDE', which is the spec of 'wide'" in warned
    assert "'broken' is registered as 'method_package:NOTHING', which does not exist" in warned
    assert shown == "Wide LoRA Ours None None"
    assert blocked == "No objective is named 'an_objective_that_is_not_here'"
    assert (printed, completed) == ("True", "['wide']")
    assert (
        renamed.startswith("The method 'renamed' is registered as")
        and "a MethodSpec whose name is 'renamed'" in renamed
    )
    assert "does not exist" in broken
    assert "Did you mean 'wide'" in typo and "more_plus, more, wide, lost" in typo


def test_a_method_of_a_plugin_that_failed_says_so(tmp_path: Path) -> None:
    environment = installed(tmp_path, ours="method_package:gone")
    (tmp_path / "method_package.py").write_text(METHODS, encoding="utf-8")
    code = "import shadownb as snb\ntry: snb.TrainConfig(method='wide')\nexcept ValueError as error: print(error)"
    out, err = told(code, environment)
    assert (
        "'wide' is not a training method" in out and "The plugin ours (method_package:gone) could not be used" in out
    ), err


def test_a_built_in_method_comes_back_when_what_replaced_it_is_taken_back() -> None:
    lora = methods.get("lora")
    methods.register(lora.replace(default_learning_rate=1.0), replace=True)
    assert [spec.default_learning_rate for spec in methods.available() if spec.name == "lora"] == [1.0]
    methods.unregister("lora")
    assert methods.get("lora") is lora
    with pytest.raises(MethodError, match="'lora' was not registered in this process"):
        methods.unregister("lora")
    with pytest.raises(MethodError, match="already"):
        methods.register(lora)
