"""What is used of mlx-lm, imported without what its import does to the process.

It sets the limit of open files to 2,048 for good (a server in the same kernel needs more), and switches off advice of transformers
by an environment variable that every process started later inherits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

_ADVICE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


@contextlib.contextmanager
def _leaving_the_process_alone() -> Iterator[None]:
    before = os.environ.get(_ADVICE)
    try:
        import resource
    except ImportError:  # Windows has neither the module nor MLX
        limits: Any = None
    else:
        limits, set_limit = resource, resource.setrlimit
        limits.setrlimit = lambda *_: None
    try:
        yield
    finally:
        if limits is not None:
            limits.setrlimit = set_limit
        if before is None:
            os.environ.pop(_ADVICE, None)
        else:
            os.environ[_ADVICE] = before


with _leaving_the_process_alone():
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
    from mlx_lm.tuner.dora import DoRALinear
    from mlx_lm.tuner.lora import LoRALinear
    from mlx_lm.utils import _get_classes as classes_of
    from mlx_lm.utils import load_model

__all__ = [
    "DoRALinear", "LoRALinear", "QuantizedSwitchLinear", "SwitchLinear", "classes_of", "load_model", "make_prompt_cache",
]  # fmt: skip
