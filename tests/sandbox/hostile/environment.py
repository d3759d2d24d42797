"""Prints every environment and command line that it can see."""

import glob
import os

print(dict(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        print(open(path, "rb").read())
    except OSError as error:
        print(path, error.errno)
print("processes", len(glob.glob("/proc/[0-9]*")))
