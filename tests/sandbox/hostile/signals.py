"""Sends signals to the process that stdin names and to its parent; to all others it only asks whether it could."""

import os
import signal
import sys

victim = int(sys.stdin.read())
for target in (victim, -victim):
    try:
        os.kill(target, signal.SIGKILL)
        print("SENT", target)
    except OSError as error:
        print(target, error.errno)
reachable = []
for pid in range(1, 5000):
    try:
        os.kill(pid, 0)
        reachable.append(pid)
    except OSError:
        pass
print("reachable", len(reachable), flush=True)
