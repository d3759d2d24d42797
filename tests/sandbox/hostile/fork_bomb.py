"""Forks until it may not, at most 300 times. Expected: about as many as the bound on processes."""

import os
import time

made = 0
try:
    while made < 300:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        made += 1
except OSError as error:
    print(type(error).__name__)
print("made", made, flush=True)
