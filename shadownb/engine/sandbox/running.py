"""Running one program in the sandbox, and watching it."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import psutil

from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.outcome import Outcome
from shadownb.engine.sandbox.walls import BOX, Wall, find_wall
from shadownb.errors import ConfigError, SandboxError

_LOOK = 0.1  # seconds between two looks at what a program uses
_CHUNK = 2**16
_ENTRY = 4096  # bytes of the folder's bound that a file counts as, however empty: its entry takes memory, too

# Rights are limited by a shell that then becomes the program; the mark says that everything before has worked. The kernel ends
# the sandbox first where memory is short.
_START = """
echo 1000 >/proc/self/oom_score_adj
ulimit -c 0 -t {cpu} -n {files} -f {blocks}
{address_space}
ulimit -p {processes} 2>/dev/null || ulimit -u {processes}
echo {mark} >&2
exec "$@"
"""


def run(
    argv: Sequence[str],
    *,
    files: Mapping[str, str | bytes] | None = None,
    stdin: str | bytes = b"",
    limits: Limits | None = None,
    readable: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    wall: Wall | None = None,
) -> Outcome:
    """Run a program that is not trusted and return how it ended; whatever it started has ended then, too.

    It sees ``/usr`` and the system's libraries, read only, ``readable``, a ``/proc`` of its own processes, and a folder of fixed
    size in memory, which is its home. There is no network. Its environment is PATH, HOME, TMPDIR, LANG and what is given.

    Parameters
    ----------
    argv
        The program and its arguments.
    files
        Relative paths in its folder, and what is in them.
    stdin
        What it can read.
    limits
        Bounds; None for the default ones.
    readable
        Other paths of this machine that it may read, for instance a compiler's.
    environment
        More variables.
    wall
        How it is enclosed; None for the best way that works here.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program. Never raised for what a program does.
    ConfigError
        A path of ``files`` leads out of the folder, or one of ``readable`` is not there.

    Examples
    --------
    >>> snb.sandbox.run(["sh", "greet.sh"], files={"greet.sh": "echo hello from $(pwd)"}).stdout
    'hello from /box\\n'
    """
    limits = limits or Limits()
    missing = next((path for path in readable if not os.path.lexists(path)), None)
    if missing is not None:
        raise ConfigError(f"readable has {missing!r}, which is not there.", fix="Give paths of this machine.")
    wall = wall or find_wall()
    mark = secrets.token_hex(16)
    script = _START.format(
        cpu=max(1, round(limits.cpu_seconds)),
        files=limits.files,
        blocks=limits.disk_bytes // 512,
        address_space=f"ulimit -v {limits.memory_bytes // 1024}" if limits.address_space else "",
        processes=limits.processes,
        mark=mark,
    )
    content = {_inside(name): _bytes(text) for name, text in (files or {}).items()}
    command = wall.command(["/bin/sh", "-c", script, "sh", *argv], content, readable, limits)
    scrubbed = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": BOX,
        "TMPDIR": BOX,
        "LANG": "C.UTF-8",
        **(environment or {}),
    }
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=scrubbed,
            pass_fds=command.descriptors,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"{wall.name} could not be started: {error}.", fix="See shadownb doctor.") from error
    finally:
        for descriptor in command.descriptors:
            os.close(descriptor)
    watch = _Watch(process, limits, _bytes(stdin), started)
    try:
        broken = watch.until_end()
    finally:
        watch.end()
    wall_seconds = time.monotonic() - started
    stdout, stderr = watch.written("stdout"), watch.written("stderr")
    head, found, rest = stderr.partition(f"{mark}\n")
    if not found and broken is None:
        last = (head.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise SandboxError(
            "The sandbox could not be set up, so the program was not run.",
            why=f"{wall.name}: {last}.",
            fix="Run the same again; if it stays, take it to a bug report with this text.",
        )
    code = process.returncode
    if broken is None and code == 128 + signal.SIGXCPU:
        broken = "cpu"
    status = broken or ("ok" if code == 0 else "failed")
    return Outcome(status, None if broken else code, stdout, rest, wall_seconds)


def run_many(jobs: Sequence[Mapping[str, Any]], *, workers: int | None = None) -> Iterator[Outcome]:
    """Run several programs, ``workers`` at a time (None: one a CPU), and yield their outcomes in order.

    Parameters
    ----------
    jobs
        Arguments of :func:`run`, each a mapping with ``argv`` and others by name.

    Examples
    --------
    >>> jobs = [{"argv": ["echo", word]} for word in ("one", "two")]
    >>> [outcome.stdout for outcome in snb.sandbox.run_many(jobs)]
    ['one\\n', 'two\\n']
    """
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from pool.map(lambda job: run(**job), jobs)


class _Watch:
    """Feeds a program, reads what it writes, and ends the wait at the first bound that it meets."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, stdin: bytes, started: float) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process, self._limits, self._stdin = process, limits, memoryview(stdin)
        self._deadline, self._look_at = started + limits.wall_seconds, started + 2 * _LOOK
        self._written = {"stdout": bytearray(), "stderr": bytearray()}
        self._selector = selectors.DefaultSelector()
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)
        os.set_blocking(process.stdin.fileno(), False)
        self._selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")

    def until_end(self) -> str | None:
        """Wait; return the bound that was met, or None where the program ended by itself."""
        with self._selector:
            while len(self._selector.get_map()) > 0 or self._process.poll() is None:
                now = time.monotonic()
                if now >= self._deadline:
                    return "timeout"
                if now >= self._look_at:
                    self._look_at = now + _LOOK
                    met = self._met()
                    if met is not None:
                        return met
                if len(self._selector.get_map()) == 0:  # it has closed its pipes and goes on
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(min(self._deadline, self._look_at) - now)
                    continue
                for key, _ in self._selector.select(max(0.0, min(self._deadline, self._look_at) - now)):
                    if not self._moved(key):
                        return "output"
        return None

    def end(self) -> None:
        """End the sandbox, which ends every process in it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            self._closed(pipe)

    def written(self, name: str) -> str:
        """Return what was written to stdout or stderr."""
        return bytes(self._written[name]).decode("utf-8", "replace")

    def _moved(self, key: selectors.SelectorKey) -> bool:
        """Move bytes through one pipe; return whether the program stays within its bounds."""
        pipe: Any = key.fileobj
        if key.data == "stdin":
            try:
                self._stdin = (
                    self._stdin[os.write(pipe.fileno(), self._stdin[:_CHUNK]) :] if self._stdin else self._stdin
                )
            except BlockingIOError:
                return True
            except OSError:  # it does not read
                self._stdin = self._stdin[:0]
            if not self._stdin:
                self._closed(pipe)
            return True
        with contextlib.suppress(BlockingIOError):
            piece = os.read(pipe.fileno(), _CHUNK)
            if not piece:
                self._closed(pipe)
            kept = self._written[key.data]
            room = self._limits.output_bytes + 64 - len(kept)  # the mark stands in stderr, too
            kept += piece[: max(0, room)]
            return len(piece) <= room
        return True

    def _closed(self, pipe: Any) -> None:
        with contextlib.suppress(KeyError, ValueError, RuntimeError):
            self._selector.unregister(pipe)
        with contextlib.suppress(OSError):
            pipe.close()

    def _met(self) -> str | None:
        """Look at all processes of the program; return which of their bounds together they are over."""
        resident, cpu, there = 0, 0.0, []
        with contextlib.suppress(psutil.Error):
            there = psutil.Process(self._process.pid).children(recursive=True)
        for each in there:
            with contextlib.suppress(psutil.Error):
                resident += each.memory_info().rss
                times = each.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
        if any(
            _entries(each, folder) > self._limits.disk_bytes // _ENTRY
            for each in there[-1:]
            for folder in (BOX, "/dev/shm")
        ):
            return "disk"
        if cpu > self._limits.cpu_seconds + 1:  # the kernel's own limit comes first where it is one process
            return "cpu"
        # Pages that a program shares with its children count once.
        too_much = resident > self._limits.memory_bytes and _shared_once(there) > self._limits.memory_bytes
        return "memory" if too_much else None


def _entries(process: psutil.Process, folder: str) -> int:
    """Return how many files lie in a folder as a process sees it; 0 where this user may not look."""
    try:
        found = os.statvfs(f"/proc/{process.pid}/root{folder}")
    except OSError:
        return 0
    return found.f_files - found.f_ffree


def _shared_once(processes: Sequence[psutil.Process]) -> int:
    total = 0
    for each in processes:
        try:
            total += each.memory_full_info().pss
        except psutil.AccessDenied:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return total


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ConfigError(f"files has {name!r}, which leads out of the program's folder.", fix="Give a relative path.")
    return str(path)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
