"""Memory that belongs to no process: memfd and System V shared memory, at most 300 MiB."""

import ctypes
import os

try:
    descriptor = os.memfd_create("hidden")
    print("MEMFD", sum(os.write(descriptor, b"x" * 2**20) for _ in range(300)))
except OSError as error:
    print("memfd", error.errno)
libc = ctypes.CDLL(None, use_errno=True)
print("shmget", libc.shmget(0, 300 * 2**20, 0o1600) < 0, ctypes.get_errno())
