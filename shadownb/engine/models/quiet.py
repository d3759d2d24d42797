"""Keep the libraries' own progress bars and routine remarks out of cells; phases and panels show what is going on."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator

# What these loggers say again and again, to nobody's use:
_REMARKS = {
    # An 8-bit layer computes in fp16 whatever it is given; said by every layer, in every pass.
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
    # The repository's own settings for sampling contradict each other; those of a call are used here.
    "transformers.generation.configuration_utils": "The following generation flags are not valid",
}

_lock = threading.Lock()
_inside = 0  # blocks that are running, of all threads
_was_on: dict[str, bool] = {}  # by library, as the first block that met it found its switch


@contextlib.contextmanager
def quiet_progress_bars() -> Iterator[None]:
    """Switch the bars of transformers and datasets off inside the block, and back to what they were after the last of them.

    The libraries have one switch each for the whole process, and two models may be loaded at a time. What isn't imported
    draws no bar, and to import datasets, with pandas, is a sixth of a worker's start: whoever reads with it imports it first.
    """
    from transformers.utils import logging as transformers

    global _inside
    _leave_out_remarks()
    with _lock:
        datasets = sys.modules.get("datasets")
        if "transformers" not in _was_on:
            _was_on["transformers"] = transformers.is_progress_bar_enabled()
            transformers.disable_progress_bar()
        if "datasets" not in _was_on and datasets is not None:
            _was_on["datasets"] = not datasets.are_progress_bars_disabled()
            datasets.disable_progress_bars()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                if _was_on.pop("transformers"):
                    transformers.enable_progress_bar()
                if _was_on.pop("datasets", False):
                    sys.modules["datasets"].enable_progress_bars()


def _leave_out_remarks() -> None:
    for name in _REMARKS:
        logging.getLogger(name).addFilter(_is_no_remark)  # a second time adds nothing


def _is_no_remark(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_REMARKS[record.name])


@contextlib.contextmanager
def quiet_gguf_bar() -> Iterator[None]:
    """Let the bar over a GGUF file's tensors obey transformers' switch as well; it is made past it, with plain tqdm."""
    from transformers import modeling_gguf_pytorch_utils as reader
    from transformers.utils import logging as transformers

    before = vars(reader)["tqdm"]
    vars(reader)["tqdm"] = transformers.tqdm
    try:
        with quiet_progress_bars():
            yield
    finally:
        vars(reader)["tqdm"] = before
