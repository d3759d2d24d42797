"""Waits for at most 30 s, deaf to all signals that a process can be deaf to, its pipes closed."""

import os
import signal
import time

for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for descriptor in range(3):
    os.close(descriptor)
time.sleep(30)
