"""What a program in the sandbox gets and what comes back; and that nothing is run where it cannot be enclosed."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import shadownb as snb
from shadownb.engine import sandbox
from shadownb.engine.sandbox import Limits, SandboxError, Wall, python_command, run, run_many, seccomp, walls
from tests.waiting import wait_for


def python(wall: Wall, source: str, **more: Any) -> sandbox.Outcome:
    argv, readable = python_command()
    files = {"main.py": source, **more.pop("files", {})}
    return run([*argv, "main.py"], files=files, readable=readable, wall=wall, **more)


def test_a_program_has_its_files_its_stdin_and_its_environment(wall: Wall) -> None:
    source = (
        "import os, sys\nsys.path.insert(0, '.')\nimport data.words\n"
        "print(data.words.WORD, sys.stdin.read(), os.environ['MORE'], os.getcwd(), os.path.expanduser('~'))"
    )
    files = {"data/words.py": "WORD = 'ä'", "data/__init__.py": b""}
    outcome = python(wall, source, files=files, stdin="in", environment={"MORE": "1"})
    assert (outcome.status, outcome.stdout, outcome.exit_code) == ("ok", "ä in 1 /box /box\n", 0), outcome
    assert 0 < outcome.wall_seconds < 60 and outcome.reason == ""


def test_it_may_write_and_run_what_it_wrote(wall: Wall) -> None:
    """As a compiler does; also another language, and a program that is not there."""
    script = "printf '#!/bin/sh\\necho compiled' >it && chmod +x it && mkdir -p a/b && ./it && echo $(ls /tmp)"
    outcome = run(["/bin/sh", "-c", script], wall=wall)
    assert outcome.ok and outcome.stdout.splitlines()[0] == "compiled", outcome
    missing = run(["no-such-compiler"], wall=wall)
    assert (missing.status, missing.exit_code) == ("failed", 127) and "not found" in missing.reason


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_reserves_more_than_it_uses(wall: Wall) -> None:
    node = str(Path(str(shutil.which("node"))).resolve())
    limits = Limits(address_space=False, wall_seconds=60, cpu_seconds=60)
    outcome = run([node, "main.js"], files={"main.js": "console.log(6 * 7)"}, readable=[node], limits=limits, wall=wall)
    assert (outcome.status, outcome.stdout) == ("ok", "42\n"), outcome


def test_what_is_said_of_a_program_that_fails(wall: Wall) -> None:
    assert python(wall, "1 / 0").reason == "ZeroDivisionError: division by zero"
    assert python(wall, "raise SystemExit(3)").reason == "exit code 3"
    assert python(wall, "import os; os.abort()").exit_code == 128 + 6
    assert python(wall, "bytearray(3 << 30)").reason == "MemoryError"


def test_input_that_nobody_reads_and_much_of_it(wall: Wall) -> None:
    assert python(wall, "print(1)", stdin=b"x" * 2**22).stdout == "1\n"
    assert python(wall, "import sys; print(len(sys.stdin.read()))", stdin=b"x" * 2**22).stdout == f"{2**22}\n"


def test_programs_beside_each_other_come_back_in_order(wall: Wall) -> None:
    argv, readable = python_command()
    jobs = [
        {"argv": [*argv, "main.py"], "files": {"main.py": f"print({n})"}, "readable": readable, "wall": wall}
        for n in range(6)
    ]
    assert [outcome.stdout for outcome in run_many(jobs)] == [f"{n}\n" for n in range(6)]


def test_nothing_is_left_in_this_process(wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    python(wall, "print(1)")
    process = psutil.Process()

    def there_is() -> tuple[int, int, int]:
        return process.num_fds(), threading.active_count(), len(process.children(recursive=True))

    before = there_is()
    python(wall, "print(1)")
    python(wall, "while True: pass", limits=Limits(wall_seconds=0.2))
    wait_for(lambda: there_is() == before)
    assert os.listdir(tmp_path) == []


def test_the_random_numbers_of_this_process_are_as_they_were(wall: Wall) -> None:
    before = random.getstate()
    python(wall, "print(1)")
    assert random.getstate() == before


def test_a_path_that_is_not_there_is_named(wall: Wall) -> None:
    with pytest.raises(snb.ShadowError, match="readable has '/no/such/compiler'"):
        run(["true"], readable=["/no/such/compiler"], wall=wall)


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", ""])
def test_no_file_leads_out_of_the_folder(wall: Wall, name: str) -> None:
    with pytest.raises(snb.ShadowError, match="leads out of the program's folder"):
        python(wall, "", files={name: "x"})


@pytest.mark.parametrize(
    "bound", ["wall_seconds", "cpu_seconds", "memory_bytes", "processes", "disk_bytes", "output_bytes"]
)
def test_bounds_are_above_nothing(bound: str) -> None:
    with pytest.raises(snb.ShadowError, match=f"{bound}=0"):
        Limits(**{bound: 0})


def test_where_nothing_can_enclose_a_program_none_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(walls, "_found", {})
    monkeypatch.setenv("PATH", str(tmp_path))  # neither bwrap nor unshare
    ran = tmp_path / "ran"
    with pytest.raises(SandboxError, match=r"none is run[\s\S]*bubblewrap[\s\S]*Install bubblewrap") as caught:
        run(["/bin/sh", "-c", f"touch {ran}"])
    assert not ran.exists() and caught.value.code == "sandbox"
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxError, match="needs Linux, and this is darwin"):
        sandbox.run_python("print(1)")


def test_a_system_that_forbids_namespaces_says_how_to_allow_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(walls, "_found", {})
    for tool in ("bwrap", "unshare", "setpriv"):
        (tmp_path / tool).write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match=r"uid map: Permission denied[\s\S]*apparmor_restrict_unprivileged_userns=0"):
        run(["/bin/true"])


def test_a_sandbox_that_breaks_is_no_verdict(wall: Wall) -> None:
    """Before the program begins something fails: that is an error, and not the program's."""

    class Broken:
        name = "broken"

        def command(self, program: Any, files: Any, readable: Any, limits: Any) -> walls.Command:
            return walls.Command(["/bin/sh", "-c", "echo 'no room for a mount' >&2; exit 1"])

    with pytest.raises(SandboxError, match=r"not run[\s\S]*no room for a mount"):
        run(["/bin/true"], wall=Broken())


def test_the_filter_of_system_calls_is_made_for_known_machines_alone() -> None:
    assert seccomp.compiled("riscv64") is None
    for machine in ("x86_64", "aarch64", "AMD64", "arm64"):
        steps = seccomp.compiled(machine)
        assert steps is not None and len(steps) % 8 == 0 and len(steps) // 8 < 4096


def test_packages_of_this_environment_can_be_imported_where_it_is_asked_for() -> None:
    try:
        sandbox.find_wall()
    except SandboxError as error:
        pytest.skip(error.as_text())
    assert sandbox.run_python("import yaml; print(yaml.safe_load('a: 1'))", packages=True).stdout == "{'a': 1}\n"
    assert "ModuleNotFoundError" in sandbox.run_python("import yaml").reason
