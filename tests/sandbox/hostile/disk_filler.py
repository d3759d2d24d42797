"""Writes wherever it can, at most 600 MiB in all, files of 4 MiB so that a bound of one file does not hold it up."""

import os

total, block = 0, b"x" * 2**22
for at, place in enumerate(
    (".", "/tmp", "/dev/shm", "/dev", "/", "/usr", "/proc", "/root", "/etc", "/run", "/var/tmp")
):
    for number in range(30):
        try:
            with open(os.path.join(place, f"filler{at}-{number}"), "wb") as file:
                file.write(block)
            total += len(block)
        except OSError:
            break
print("wrote", total // 2**20, flush=True)
