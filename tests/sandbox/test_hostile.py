"""Hostile programs end as verdicts, and the machine is as it was.

Each bounds itself and aims at nothing but this machine's loopback and what the test made for it, should the sandbox leak.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shadownb.engine.sandbox import Limits, Outcome, Wall, python_command, run
from shadownb.engine.sandbox.limits import MIB

HOSTILE = Path(__file__).parent / "hostile"
SMALL = Limits(wall_seconds=20, cpu_seconds=10, processes=32, disk_bytes=16 * MIB, output_bytes=MIB)

Runs = Callable[..., Outcome]


@pytest.fixture
def hostile(wall: Wall) -> Runs:
    def runs(name: str, stdin: str = "", mark: str = "", **bounds: Any) -> Outcome:
        argv, readable = python_command()
        files = {"main.py": (HOSTILE / f"{name}.py").read_text(encoding="utf-8")}
        limits = Limits(**{**vars(SMALL), **bounds})
        return run([*argv, "main.py", mark], files=files, stdin=stdin, limits=limits, readable=readable, wall=wall)

    return runs


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "canary"
    path.write_text(f"canary-{secrets.token_hex(8)}", encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    yield path
    assert path.read_text(encoding="utf-8") == before and os.listdir(tmp_path) == ["canary"]


def figure(outcome: Outcome, word: str) -> int:
    return int(next(line for line in outcome.stdout.splitlines() if line.startswith(word)).split()[1])


@pytest.mark.parametrize("name", ["fork_bomb", "threads"])
def test_processes_are_bounded(hostile: Runs, name: str) -> None:
    outcome = hostile(name)
    assert outcome.ok and 10 <= figure(outcome, "made") <= 32, outcome


def test_its_folder_and_nothing_else_can_be_filled(hostile: Runs) -> None:
    outcome = hostile("disk_filler")
    assert outcome.ok and 16 <= figure(outcome, "wrote") <= 32, outcome  # 16 MiB there and in /dev/shm


def test_one_file_does_not_grow_beyond_the_folder(hostile: Runs) -> None:
    outcome = hostile("one_big_file")
    # Ended by SIGXFSZ or told so: either way nothing was written beyond the bound.
    assert outcome.status == "failed" or figure(outcome, "wrote") <= 16, outcome


def test_empty_files_are_bounded_as_well(hostile: Runs) -> None:
    outcome = hostile("many_files", disk_bytes=4 * MIB)
    assert outcome.status == "disk" or figure(outcome, "made") < 1024, outcome


def test_nothing_outside_is_reached(hostile: Runs) -> None:
    name = f"shadownb-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        with socket.create_connection(tcp.getsockname()):  # from here it can be reached
            tcp.accept()[0].close()
        outcome = hostile("network", f"{tcp.getsockname()[1]} {name}")
        assert outcome.ok and "REACHED" not in outcome.stdout and "interfaces ['lo']" in outcome.stdout, outcome
        for listening in (tcp, unix):
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_no_file_of_this_machine_is_read(hostile: Runs, canary: Path) -> None:
    outcome = hostile("reads_the_home", str(canary))
    assert outcome.ok and "READ" not in outcome.stdout, outcome
    seen = outcome.stdout.partition("homes")[2]
    interpreter = Path(python_command()[1][0])
    assert set(eval(seen)) <= {"main.py", *interpreter.parts}, seen


def test_nothing_is_written_through_links(hostile: Runs, canary: Path) -> None:
    outcome = hostile("symlinks", str(canary))
    assert outcome.ok and "WROTE" not in outcome.stdout and "LINKED" not in outcome.stdout, outcome


def test_no_environment_is_seen(hostile: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = secrets.token_hex(16)
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    outcome = hostile("environment")
    assert outcome.ok and secret not in outcome.stdout and figure(outcome, "processes") <= 4, outcome
    assert eval(outcome.stdout.splitlines()[0]).keys() <= {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "LC_CTYPE"}


def test_no_signal_gets_out(hostile: Runs) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as victim:
        outcome = hostile("signals", str(victim.pid))
        assert outcome.ok and figure(outcome, "reachable") <= 4, outcome
        assert victim.poll() is None
        victim.communicate(b"\n")
    assert victim.returncode == 0


@pytest.mark.parametrize(
    ("name", "bounds", "status"),
    [
        ("endless_output", {}, "output"),
        ("endless_loop", {"wall_seconds": 0.5}, "timeout"),
        ("endless_loop", {"cpu_seconds": 1}, "cpu"),
        ("sleeps", {"wall_seconds": 0.5}, "timeout"),
        ("memory_of_many", {"memory_bytes": 300 * MIB, "address_space": False}, "memory"),
    ],
)
def test_what_meets_a_bound_is_ended_and_says_which(
    hostile: Runs, name: str, bounds: dict[str, Any], status: str
) -> None:
    started = time.monotonic()
    outcome = hostile(name, **bounds)
    assert (outcome.status, outcome.exit_code) == (status, None) and outcome.reason and not outcome.ok, outcome
    assert time.monotonic() - started < 120 and len(outcome.stdout) <= MIB + 64


def test_memory_that_belongs_to_no_process_is_not_there(hostile: Runs) -> None:
    outcome = hostile("memory_of_nobody")
    assert outcome.ok and "memfd 1\n" in outcome.stdout and "shmget True 1" in outcome.stdout, outcome


@pytest.mark.parametrize(("name", "status"), [("daemon", "ok"), ("sleeps", "timeout")])
def test_nothing_stays_behind(hostile: Runs, name: str, status: str) -> None:
    mark = f"{name}-{secrets.token_hex(8)}"
    outcome = hostile(name, mark, mark=mark, wall_seconds=20 if status == "ok" else 1)
    assert outcome.status == status and outcome.stdout == "left\n" * outcome.ok, outcome
    deadline = time.monotonic() + 10  # the kernel ends it with its namespace, at once
    while any(
        mark in process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]
    ):
        assert time.monotonic() < deadline, "it lives"
        time.sleep(0.01)


def test_no_right_is_left(hostile: Runs) -> None:
    outcome = hostile("rights")
    assert outcome.ok and "ALLOWED" not in outcome.stdout, outcome
    assert "no_new_privs ['1']" in outcome.stdout and "capabilities {''}" in outcome.stdout, outcome


def test_odd_bytes_and_a_crash_are_an_outcome(hostile: Runs) -> None:
    outcome = hostile("odd_output")
    assert (outcome.status, outcome.exit_code) == ("failed", 128 + 11) and "\ufffd" in outcome.stdout, outcome
