"""Starts threads until it may not, at most 300."""

import threading

go, made = threading.Event(), 0
try:
    while made < 300:
        threading.Thread(target=go.wait, daemon=True).start()
        made += 1
except RuntimeError:
    print("refused")
print("made", made, flush=True)
