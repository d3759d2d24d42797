"""What differs between systems: each branch is taken here, as far as that says something on another system."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import disk, processes
from shadownb.engine.capture import options as capture_options
from shadownb.engine.capture import process as capture_process
from shadownb.engine.config import TrainConfig
from shadownb.engine.runs import commands, journal
from shadownb.engine.runs.store import FolderStore

EVERYWHERE = pytest.mark.parametrize("on_windows", [False, True], ids=["posix", "windows"])


@EVERYWHERE
def test_a_folder_is_synced_as_each_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_windows: bool
) -> None:
    """Windows syncs no descriptor that is open for reading alone, and opens no folder."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights").write_bytes(b"w")
    synced: list[tuple[str, bool]] = []
    real, flags = os.fsync, os.O_ACCMODE

    def fsync(descriptor: int) -> None:
        import fcntl

        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        synced.append((kind, fcntl.fcntl(descriptor, fcntl.F_GETFL) & flags != os.O_RDONLY))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    disk.sync_tree(tmp_path, on_windows=on_windows)
    assert synced == ([("file", True)] if on_windows else [("folder", False), ("file", False), ("folder", False)])


@EVERYWHERE
def test_a_file_that_is_being_read_is_replaced_once_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_windows: bool
) -> None:
    refusals = [PermissionError(13, "used by another process")] * 2
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    (tmp_path / "new").write_text("new")
    (tmp_path / "there").write_text("old")
    if on_windows:
        disk.put_in_place(tmp_path / "new", tmp_path / "there", on_windows=True)
        assert (tmp_path / "there").read_text() == "new"
    else:  # there it means that one may not
        with pytest.raises(PermissionError):
            disk.put_in_place(tmp_path / "new", tmp_path / "there", on_windows=False)


def test_a_file_that_stays_in_use_is_an_error_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(disk, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(PermissionError):
        disk.put_in_place(tmp_path / "new", tmp_path / "there", on_windows=True)


def test_lines_are_appended_as_bytes_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets of readers count bytes, so no system may put two where a line ends; os.open is asked for that by a flag."""
    asked: list[int] = []
    real = os.open

    def opened(path: Any, flags: int, *more: Any) -> int:
        asked.append(flags)
        return real(path, flags & ~0x8000, *more)

    monkeypatch.setattr(os, "O_BINARY", 0x8000, raising=False)
    monkeypatch.setattr(os, "open", opened)
    commands.send(tmp_path / "commands.jsonl", "stop")
    journal.Journal(tmp_path / "events.jsonl").close()
    assert len(asked) == 2 and all(flags & 0x8000 for flags in asked)


@pytest.mark.skipif(os.name != "posix", reason="sessions are POSIX's")
def test_a_worker_leaves_the_session_of_its_parent() -> None:
    code = "import os; print(os.getsid(0), os.getpid())"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **processes.detached()
    )
    session, pid = out.stdout.split()
    assert session == pid != str(os.getsid(0))


def test_on_windows_a_worker_gets_a_group_and_a_console_of_its_own() -> None:
    """The values are those of Windows' own headers, where subprocess has them by name."""
    assert processes.detached("win32") == {"creationflags": 0x08000200}
    assert processes.detached("darwin") == processes.detached("linux") == {"start_new_session": True}


def test_a_port_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the usual option would let another program take the same port, and the calls with it."""
    asked: list[int] = []

    class Recording(socket.socket):
        def setsockopt(self, level: int, option: int, value: Any) -> None:  # type: ignore[override]
            asked.append(option)

    monkeypatch.setattr(socket, "socket", Recording)
    capture_options.listen("127.0.0.1", 0).close()
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    capture_options.listen("127.0.0.1", 0).close()
    assert asked == [socket.SO_REUSEADDR, -5]


def test_a_capture_ends_whole_without_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a signal would kill it: it finds a file, stores what it has, and takes its token away."""
    monkeypatch.setattr(capture_process, "BY_SIGNAL", False)
    capture = snb.captures.start("http://127.0.0.1:9", name="calls", home=tmp_path)
    try:
        assert capture.files.token.exists()
        capture.stop()
        assert not capture.is_running
    finally:
        monkeypatch.setattr(capture_process, "BY_SIGNAL", True)
        capture.stop()
    left = {path.name for path in capture.files.path.iterdir()}
    assert not left & {"token", "end"} and not any(name.endswith(("-wal", "-shm")) for name in left), (
        "the store is closed"
    )


@pytest.mark.parametrize("method", ["ours:orpo", "mine/lora", "two words"])
def test_a_run_has_a_name_that_every_file_system_takes(tmp_path: Path, method: str) -> None:
    snb.methods.register(snb.methods.get("lora").replace(name=method))
    try:
        folder = FolderStore(tmp_path).create(TrainConfig(method=method), {"model": {}})
        again = FolderStore(tmp_path).find(folder.id)
        assert again.config.method == method
    finally:
        snb.methods.unregister(method)
    assert not set(folder.id) & set(':/\\ *?"<>|') and again.path.parent == tmp_path / "runs"
    assert json.loads(again.record.read_text())["id"] == folder.id


def test_flags_of_the_cpu_are_unknown_where_the_kernel_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have no /proc: the format is fp32 then, and the CPU has the name that Python knows."""
    from shadownb.engine import hardware

    real = open

    def opened(path: Any, *args: Any, **options: Any) -> Any:
        if path == "/proc/cpuinfo":
            raise FileNotFoundError(path)
        return real(path, *args, **options)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.delenv(hardware.CPU_VARIABLE, raising=False)
    for cached in (hardware._native_cpu_flags, hardware._cpu_name):
        cached.cache_clear()
    try:
        assert hardware.cpu_flags() == frozenset()
        assert hardware.choose_dtype("auto", "cpu")[0] == "float32"
        assert hardware.detect().devices[0].name
    finally:
        for cached in (hardware._native_cpu_flags, hardware._cpu_name):
            cached.cache_clear()
