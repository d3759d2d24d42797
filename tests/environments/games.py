"""Environments of tests: a guessing game, one with tools, one that never ends, one that hangs, one that breaks."""

from __future__ import annotations

import threading
import time
from typing import Any


class Vowels:
    """Three letters are asked for, one a turn; vowels count."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.thread = threading.get_ident()

    def reset(self, number: int = 0, seed: int = 0) -> str:
        self.number, self.left, self.seed = number, 3, seed
        return "Say a word."

    def step(self, action: str) -> tuple[str, float, bool]:
        assert threading.get_ident() == self.thread, "an environment has one thread"
        self.left -= 1
        share = sum(letter in "aeiou" for letter in action) / max(1, len(action))
        return f"{self.left} more.", share, self.left == 0


class Endless(Vowels):
    def step(self, action: str) -> tuple[str, float, bool]:
        return "More.", len(action) / 10, False


class Hangs(Vowels):
    def step(self, action: str) -> tuple[str, float, bool]:
        while self.number % 2:  # in Python, so that it can be ended
            pass
        return super().step(action)


class HangsDeep(Vowels):
    def step(self, action: str) -> tuple[str, float, bool]:
        if self.number % 2:
            time.sleep(8)
        return super().step(action)


class Breaks(Vowels):
    def reset(self, number: int = 0, seed: int = 0) -> str:
        if number % 2:
            raise RuntimeError("no board")
        return super().reset(number, seed)

    def step(self, action: str) -> tuple[str, float, bool]:
        self.left -= 1
        if self.left == 1:
            raise KeyError(action)
        return "", 1.0, self.left == 0


class Shop:
    """As trl's environment_factory has them: tools, reset and get_reward."""

    def reset(self, **row: Any) -> str:
        self.paid: list[int] = []
        return "Order 7 is late."

    def refund(self, order: int) -> str:
        """Pay an order back.

        Args:
            order: Its number.
        """
        if order < 0:
            raise ValueError(f"order {order} is no order")
        self.paid.append(order)
        return f"{order} is paid back"

    def wait(self, seconds: float) -> str:
        """Wait a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return "waited"

    def get_reward(self) -> float:
        return float(self.paid == [7])
