"""Writes at most 200 MB."""

import sys

for _ in range(2000):
    sys.stdout.write("x" * 100_000)
    sys.stderr.write("y" * 1000)
