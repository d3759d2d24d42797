"""Mistakes that a type checker has to find: each line that is marked, and no other (test_typed.py)."""

from __future__ import annotations

import shadownb as snb

model = snb.load("smollm2-135m")
model.generate("One ticket", max_new_tokes=16)  # wrong
model.generate("One ticket", temperature="hot")  # wrong
model.chat([{"role": "user", "content": "One ticket"}], use=7)  # wrong
number: int = model.generate("One ticket")  # wrong
snb.load("smollm2-135m").save(3)  # wrong
