"""Plant faults one at a time in a copy of the package, and say which the tests find: ``python -m tests.faults [NAME PART]...``.

The tree itself is never changed. Takes about five minutes on two cores; no part of ``make test``.
"""

from __future__ import annotations

import compileall
import importlib
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.faults.planted import FAULTS, Fault

ROOT = Path(__file__).parents[2]


def found(fault: Fault, copy: Path) -> bool:
    """Return whether a test fails with this fault planted in the copy, which is whole again afterwards."""
    file = copy / "shadownb" / fault.file
    whole = file.read_text(encoding="utf-8")
    assert whole.count(fault.old) == 1, f"{fault.file} has {fault.old!r} {whole.count(fault.old)} times: plant it anew"
    file.write_text(whole.replace(fault.old, fault.new), encoding="utf-8")
    try:
        child = os.fork()  # the libraries, which take longest to import, are there already
        if child == 0:
            os._exit(_run(copy, shlex.split(fault.tests)))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        file.write_text(whole, encoding="utf-8")
    assert code in (0, 1), (copy / "output").read_text(encoding="utf-8")[-3000:]
    return code == 1


def _run(copy: Path, tests: list[str]) -> int:
    """Run tests of the copy in this process, which has imported nothing of it yet."""
    import pytest

    output = os.open(copy / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
    sys.path[:] = [entry for entry in sys.path if entry != str(ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    return int(pytest.main(["-q", "-x", *tests]))


def main(parts: list[str]) -> int:
    chosen = [fault for fault in FAULTS if not parts or any(part in fault.name for part in parts)]
    missed = []
    sys.dont_write_bytecode = True
    for name in ("torch", "transformers.trainer", "peft", "datasets"):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        left_out = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", "notebooks")
        shutil.copytree(ROOT, copy, ignore=left_out)
        # Compiled once; by the hash of the source, because a file that changes twice a second may pass for the one before.
        compileall.compile_dir(copy / "shadownb", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        for fault in chosen:
            caught = found(fault, copy)
            print(f"{'found ' if caught else 'MISSED'}  {fault.name}", flush=True)
            missed += [] if caught else [fault.name]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
