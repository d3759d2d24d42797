"""Runs inside new namespaces, as a script of its own: builds what the program may see, gives up all rights, and becomes it.

``python -I -S inside.py DESCRIPTOR PROGRAM...``; the plan is JSON on the descriptor. It imports nothing of ours.
"""

import ctypes
import json
import os
import sys

_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
_NO_NEW_PRIVS, _SET_SECCOMP, _DROP_BOUNDING, _SECUREBITS, _PARENT_DEATH = 38, 22, 24, 28, 1
_DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library. Raises OSError."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount something."""
    call("mount", source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)


def place(path: str, *, like: str) -> None:
    """Make an empty file or folder to mount something on."""
    if os.path.isdir(like):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass


def build(root: str, plan: dict) -> None:
    """Put together what the program sees."""
    mount("none", "/", flags=_REC | _PRIVATE)
    mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path, link in plan["seen"]:
        if link is not None:
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(link, root + path)
            continue
        place(root + path, like=path)
        mount(path, root + path, flags=_BIND | _REC)
        # What a mount above forbids has to be said again inside of a user namespace; a folder of the system has no devices.
        mount("none", root + path, flags=_REMOUNT | _BIND | _RDONLY | _NOSUID)
    os.makedirs(root + "/dev/shm")
    for device in _DEVICES:
        place(f"{root}/dev/{device}", like="/dev/null")
        mount(f"/dev/{device}", f"{root}/dev/{device}", flags=_BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", root + "/dev/fd")
    os.makedirs(root + "/proc")
    os.makedirs(root + "/old")
    os.makedirs(root + plan["box"])
    os.symlink(plan["box"], root + "/tmp")
    for folder in ("/dev/shm", plan["box"]):
        mount(
            "tmpfs",
            root + folder,
            "tmpfs",
            _NOSUID | _NODEV,
            f"size={plan['size']},nr_inodes={plan['size'] // 4096},mode=1777",
        )
    for name, content in plan["files"].items():
        path = f"{root}{plan['box']}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(bytes.fromhex(content))
        os.chmod(path, 0o644)
    mount("proc", root + "/proc", "proc", _NOSUID | _NODEV)


def enter(root: str, box: str) -> None:
    """Make ``root`` the whole world."""
    os.chdir(root)
    call("pivot_root", b".", b"old")
    call("umount2", b"/old", _DETACH)
    os.rmdir("/old")
    mount("none", "/", flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(box)


def give_up_rights(plan: dict) -> None:
    """Become nobody: no capability, also none by what is executed next, and none of the refused system calls."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        call("prctl", _DROP_BOUNDING, ctypes.c_ulong(capability), 0, 0, 0)
    if plan["user"] is not None:
        os.setgroups([])
        os.setresgid(*[plan["user"]] * 3)
        os.setresuid(*[plan["user"]] * 3)
    call("prctl", _NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    steps = bytes.fromhex(plan["seccomp"])
    if steps:

        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

        program = Program(len(steps) // 8, steps)
        call("prctl", _SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program), 0, 0)


def main() -> None:
    """Build, enter, give up, become the program."""
    descriptor = int(sys.argv[1])
    with os.fdopen(descriptor, "rb") as file:
        plan = json.load(file)
    call("prctl", _PARENT_DEATH, ctypes.c_ulong(9), 0, 0, 0)
    root = "/tmp"  # of this mount namespace alone: nothing of it is seen outside
    build(root, plan)
    enter(root, plan["box"])
    libc.sethostname(b"box", 3)
    give_up_rights(plan)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.execvp(sys.argv[2], sys.argv[2:])
    while True:  # the first process of a namespace: the kernel ends all others with it, and it takes orphans in
        pid, status = os.wait()
        if pid == child:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


main()
