"""Which tests a run takes, in which order: the second run as on the other kind of CPU, samples, and what goes first."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shadownb.engine import hardware
from tests.pace import LONGEST_FIRST, sort_longest_first

ROOT = Path(__file__).parents[2]
TESTS = """
import os
import pytest
from shadownb.engine import hardware

@pytest.mark.other_cpu("auto")
def test_auto():
    assert hardware.choose_dtype("auto", "cpu")[0] == "{format}"
    assert os.environ.get("ATEN_CPU_CAPABILITY") == {kernels}

@pytest.mark.other_cpu
def test_kernels(): pass

def test_neither(): raise AssertionError

@pytest.mark.full
@pytest.mark.other_cpu("auto")
def test_one_of_many(): raise AssertionError

@pytest.mark.other_cpu("auto")
def test_elsewhere(): pytest.skip("needs a machine that is not here")
"""


def run(file: Path, *given: str) -> str:
    """Run the tests of a file in a process of its own, with no plugins but what the configuration needs; returns its output."""
    hidden = {"SHADOWNB_CPU", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ("-p", "pytest_timeout", "-p", "tests.lanes")
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "-c", ROOT / "pyproject.toml", *given, file]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_other_kind_of_cpu(tmp_path: Path) -> None:
    has_units = bool(hardware._native_cpu_flags().intersection(hardware._BF16_UNITS))
    file = tmp_path / "test_some.py"
    expected = ("float32", "'avx2'") if has_units else ("bfloat16", "None")
    file.write_text(TESTS.format(format=expected[0], kernels=expected[1]), encoding="utf-8")
    said = run(file, "--other-cpu")
    passed = 2 if has_units else 1  # of one that names its format, only other kernels would give another result
    assert f"{passed} passed, 1 skipped, {4 - passed} deselected" in said
    assert "covered by emulation: dtype='auto' as" in said
    assert "Not covered on this machine:" in said
    assert "Not covered, needs a machine that is not here: test_elsewhere" in said


@pytest.mark.parametrize("given", [[], ["--full"]])
def test_a_sample_or_the_whole(given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text("import pytest\ndef test_a(): pass\n@pytest.mark.full\ndef test_b(): pass\n", encoding="utf-8")
    said = run(file, *given)
    assert ("2 passed" if given else "1 passed, 1 deselected") in said
    assert "covered natively: dtype='auto' as" in said


def test_the_longest_files_go_first(request: pytest.FixtureRequest) -> None:
    """And all are there: one that is renamed would come last, and let the other processes wait."""
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []
    asked = ["tests/panels/test_studio.py", LONGEST_FIRST[1], "tests/capture/test_store.py", LONGEST_FIRST[0]]
    items: list[Any] = [SimpleNamespace(path=ROOT / name) for name in asked]
    sort_longest_first(items, ROOT)
    assert [item.path for item in items] == [ROOT / asked[at] for at in (3, 1, 0, 2)]
    these = list(request.session.items)
    sort_longest_first(these, ROOT)
    assert these == request.session.items, "the tests of this run are not in order"


def test_the_collector_does_not_walk_through_the_libraries() -> None:
    assert gc.get_freeze_count() > 100_000
    assert len(gc.get_objects()) < gc.get_freeze_count()
