"""Keep the libraries' own progress bars out of cells; phases and panels show what is going on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_progress_bars() -> Iterator[None]:
    """Switch transformers' progress bars off inside the block, and back to what they were."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


@contextlib.contextmanager
def quiet_gguf_bar() -> Iterator[None]:
    """Let the bar over a GGUF file's tensors obey transformers' switch as well; it is made past it, with plain tqdm."""
    from transformers import modeling_gguf_pytorch_utils as reader
    from transformers.utils import logging

    before = vars(reader)["tqdm"]
    vars(reader)["tqdm"] = logging.tqdm
    try:
        with quiet_progress_bars():
            yield
    finally:
        vars(reader)["tqdm"] = before
