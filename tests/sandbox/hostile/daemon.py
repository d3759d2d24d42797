"""Leaves a process of a session of its own behind, which holds no pipe; it ends by itself after 60 s."""

import os
import sys
import time

mark = sys.stdin.read().strip()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(256):
            try:
                os.close(descriptor)
            except OSError:
                pass
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", mark])
    os._exit(0)
os.wait()
time.sleep(0.2)
print("left", flush=True)
