"""Ways to enclose a program on this machine: bubblewrap, else the kernel's namespaces, else an error that says what is missing."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shadownb.engine.sandbox import seccomp
from shadownb.engine.sandbox.limits import Limits
from shadownb.errors import SandboxError

BOX = "/box"
"""The folder of a program, as it sees it; it begins there, and it is its home."""

_INSIDE = str(Path(__file__).with_name("inside.py"))
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
_USERS = (
    2**20,
    2**30,
)  # numbers that no user of a machine has; each program gets one, so that none counts another's processes


@dataclass(frozen=True)
class Command:
    """How to start an enclosed program: what to execute, and descriptors that it inherits, closed after the start."""

    argv: list[str]
    descriptors: list[int] = field(default_factory=list)


class Wall(Protocol):
    """A way to enclose programs."""

    name: str

    def command(
        self, program: Sequence[str], files: Mapping[str, bytes], readable: Sequence[str], limits: Limits
    ) -> Command:
        """Return how to start a program that sees ``files`` in its folder and of this machine only ``readable``."""
        ...


class Bubblewrap:
    """bubblewrap (``bwrap``). As root without a user namespace, whose root would be this machine's, to which no limit of processes
    applies: the program then gets a user of its own by setpriv."""

    name = "bubblewrap"

    def command(
        self, program: Sequence[str], files: Mapping[str, bytes], readable: Sequence[str], limits: Limits
    ) -> Command:
        descriptors: list[int] = []

        def inherited(content: bytes) -> str:
            descriptors.append(_in_memory(content))
            return str(descriptors[-1])

        argv = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        argv += ["--die-with-parent", "--new-session", "--hostname", "box"]
        for folder in dict.fromkeys(
            str(above) for path in _seen(readable) for above in reversed(Path(path).parents[:-1])
        ):
            argv += ["--perms", "0755", "--dir", folder]  # those that bubblewrap makes by itself are its user's alone
        for path in _seen(readable):
            argv += ["--symlink", os.readlink(path), path] if Path(path).is_symlink() else ["--ro-bind", path, path]
        size = str(limits.disk_bytes)
        argv += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]
        argv += ["--perms", "1777", "--size", size, "--tmpfs", BOX, "--symlink", BOX, "/tmp", "--chdir", BOX]
        for name, content in files.items():
            argv += ["--perms", "0644", "--file", inherited(content), f"{BOX}/{name}"]
        argv += ["--remount-ro", "/dev", "--remount-ro", "/"]
        syscalls = seccomp.compiled()
        if syscalls is not None:
            argv += ["--seccomp", inherited(syscalls)]
        if os.geteuid() == 0:
            user = str(_a_user())
            argv += [
                "--cap-drop",
                "ALL",
                "--cap-add",
                "CAP_SETUID",
                "--cap-add",
                "CAP_SETGID",
                "--cap-add",
                "CAP_SETPCAP",
                "--",
            ]
            argv += [
                "setpriv",
                "--reuid",
                user,
                "--regid",
                user,
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ]
            argv += ["--no-new-privs"]
        else:
            argv += ["--unshare-user", "--cap-drop", "ALL"]
        return Command([*argv, "--", *program], descriptors)


class Namespaces:
    """The same by the kernel's namespaces, set up by ``inside.py`` under unshare of util-linux."""

    name = "namespaces"

    def command(
        self, program: Sequence[str], files: Mapping[str, bytes], readable: Sequence[str], limits: Limits
    ) -> Command:
        import json

        plan = {
            "files": {name: content.hex() for name, content in files.items()},
            "seen": [
                [path, os.readlink(path) if Path(path).is_symlink() else None]
                for path in _seen([*readable, _python_home()])
            ],
            "size": limits.disk_bytes,
            "box": BOX,
            "user": _a_user() if os.geteuid() == 0 else None,
            "seccomp": (seccomp.compiled() or b"").hex(),
        }
        descriptor = _in_memory(json.dumps(plan).encode())
        argv = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        argv += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return Command([*argv, "--", *_bare_python(), _INSIDE, str(descriptor), *program], [descriptor])


_lock = threading.Lock()
_found: dict[str, Wall] = {}


def find_wall(name: str | None = None) -> Wall:
    """Return the way in which this machine can enclose a program, tried once.

    Parameters
    ----------
    name
        ``bubblewrap`` or ``namespaces``; None for the first that works.

    Raises
    ------
    SandboxError
        There is none.

    Examples
    --------
    >>> snb.sandbox.find_wall().name in ("bubblewrap", "namespaces")
    True
    """
    kinds: tuple[type[Bubblewrap] | type[Namespaces], ...] = (Bubblewrap, Namespaces)
    with _lock:
        key = name or ""
        if key not in _found:
            reasons = {}
            for kind in kinds:
                if name in (None, kind.name):
                    reasons[kind.name] = reason = _trouble(kind())
                    if reason is None:
                        _found[key] = kind()
                        break
            else:
                raise _none(reasons)
        return _found[key]


def _trouble(wall: Bubblewrap | Namespaces) -> str | None:
    """Return why a wall does not work here, or None where it does: an enclosed ``true`` is run."""
    tool = "bwrap" if isinstance(wall, Bubblewrap) else "unshare"
    if sys.platform != "linux":
        return f"needs Linux, and this is {sys.platform}"
    if shutil.which(tool) is None:
        return f"{tool} is not installed"
    if isinstance(wall, Bubblewrap) and os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "setpriv (util-linux) is not installed"
    command = wall.command(["/bin/sh", "-c", "exit 0"], {}, (), Limits())
    try:
        done = subprocess.run(
            command.argv, pass_fds=command.descriptors, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        for descriptor in command.descriptors:
            os.close(descriptor)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _none(reasons: Mapping[str, str | None]) -> SandboxError:
    restricted = any("ermission" in (reason or "") or "not permitted" in (reason or "") for reason in reasons.values())
    hint = (
        " This system does not let its users make namespaces: its administrator allows it"
        " (kernel.apparmor_restrict_unprivileged_userns=0, or user.max_user_namespaces above 0), or a container is started with"
        " --security-opt seccomp=unconfined."
        if restricted
        else ""
    )
    return SandboxError(
        "Programs of a model cannot be enclosed on this machine, so none is run.",
        why="; ".join(f"{name}: {reason}" for name, reason in reasons.items()) + ".",
        fix=f"Install bubblewrap (apt install bubblewrap, dnf install bubblewrap).{hint}",
    )


def _seen(readable: Sequence[str]) -> list[str]:
    """Return the paths that a program sees, each once, those that lie in others left out."""
    there = [path for path in (*_SYSTEM, *map(os.path.abspath, readable)) if os.path.lexists(path)]
    return [
        path
        for path in dict.fromkeys(there)
        if not any(path != other and path.startswith(f"{other}/") for other in there)
    ]


def _a_user() -> int:
    return _USERS[0] + secrets.randbelow(_USERS[1] - _USERS[0])


def _python_home() -> str:
    return str(Path(sys.base_prefix).resolve())


def _bare_python() -> list[str]:
    """Return the command of the interpreter under this one, without site packages and without what the user sets for it."""
    executable = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [str(executable if executable.exists() else sys.executable), "-I", "-S", "-B"]


def _in_memory(content: bytes) -> int:
    """Return a descriptor from which ``content`` can be read."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
