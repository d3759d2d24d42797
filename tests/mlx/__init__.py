"""The MLX backend beside torch, peft, transformers and mlx-lm."""

from __future__ import annotations

import importlib.util

import pytest

ABSENT = "mlx-lm is not installed (pip install 'shadownb[mlx]')"


def is_here() -> bool:
    """Return whether mlx-lm could be imported, without doing so: its import lowers the limits of the process."""
    return importlib.util.find_spec("mlx_lm") is not None


def needed() -> None:
    """Skip the test where mlx-lm is not installed."""
    if not is_here():
        pytest.skip(ABSENT)
