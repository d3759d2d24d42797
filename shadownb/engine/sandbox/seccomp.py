"""System calls that no program of the sandbox has: those that reach around namespaces and limits.

A filter is a program for the kernel's classic BPF machine over ``struct seccomp_data`` (number of the call at 0, architecture at
4, low half of the first argument at 16), see seccomp(2). Memory that belongs to no process (memfd, System V shared memory) would
escape the bound on memory, and user namespaces would bring file systems of any size.
"""

from __future__ import annotations

import platform
import struct

# By architecture: AUDIT_ARCH_*, then the numbers of the calls that are refused, clone, clone3.
_SAME = {
    "io_uring_setup": 425,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "mount_setattr": 442,
    "memfd_secret": 447,
}
_TABLES: dict[str, tuple[int, dict[str, int], int]] = {
    "x86_64": (
        0xC000003E,
        {
            **_SAME, "shmget": 29, "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "add_key": 248,
            "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
            "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
        },
        56,
    ),
    "aarch64": (
        0xC00000B7,
        {
            **_SAME, "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "unshare": 97, "ptrace": 117, "shmget": 194,
            "add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268,
            "process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
        },
        220,
    ),
}  # fmt: skip
_CLONE3 = 435
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_X32 = 0x40000000  # calls of the x32 ABI have this bit in their number
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def compiled(machine: str = platform.machine()) -> bytes | None:
    """Return the filter for this architecture, or None where its numbers are not known.

    A refused call gives EPERM; clone3, whose flags a filter cannot see, gives ENOSYS, whereupon the C library takes clone.
    """
    table = _TABLES.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower()))
    if table is None:
        return None
    architecture, refused, clone = table
    body: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERROR | _EPERM),
    ]
    for number in sorted(refused.values()):
        body += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | _EPERM)]
    body += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERROR | _ENOSYS)]
    body += [(_EQUAL, 0, 3, clone), (_LOAD, 0, 0, 16), (_HAS_BIT, 0, 1, _NEW_USER), (_RETURN, 0, 0, _ERROR | _EPERM)]
    whole = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), *body, (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in whole)
