"""What the libraries show and say again and again, to nobody's use. Importing this loads none of them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from shadownb.engine.progress_bars import HUB, Bars, without_bars

_REMARKS = {
    # An 8-bit layer computes in fp16 whatever it is given; said by every layer, in every pass.
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
    # The repository's own settings for sampling contradict each other; those of a call are used here.
    "transformers.generation.configuration_utils": "The following generation flags are not valid",
}
_KERNELS = "bitsandbytes.backends.cpu.ops"


def about_kernels() -> None:
    """Keep bitsandbytes from telling at its import that it has no kernel from the hub for the packed layout."""
    logging.getLogger(_KERNELS).addFilter(_is_not_about_kernels)


def _is_not_about_kernels(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in record.getMessage()


@contextlib.contextmanager
def quiet_progress_bars() -> Iterator[None]:
    """Leave out the bars of transformers and the hub inside the block, and their routine remarks from then on."""
    for name in _REMARKS:
        logging.getLogger(name).addFilter(_is_no_remark)  # a second time adds nothing
    with without_bars(TRANSFORMERS, HUB):
        yield


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


def _are_on() -> bool:
    from transformers.utils import logging as transformers

    return bool(transformers.is_progress_bar_enabled())


def _turn(on: bool) -> None:
    """Switch transformers' bars alone: its own functions switch those of the hub, too."""
    from transformers.utils import logging as transformers

    hub = HUB.are_on()
    (transformers.enable_progress_bar if on else transformers.disable_progress_bar)()
    if HUB.are_on() is not hub:
        HUB.turn(hub)


TRANSFORMERS = Bars("transformers", _are_on, _turn)
