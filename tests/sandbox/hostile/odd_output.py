"""Writes what is no UTF-8, and ends by a signal."""

import os

os.write(1, b"\xff\xfe\x00 \xed\xa0\x80")
os.write(2, b"\x80\n")
os.kill(os.getpid(), 11)
