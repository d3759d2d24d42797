"""Several sequences of tokens going through an open file: fed in pieces, their logits read, their places given back."""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shadownb.engine.backends.llamacpp.bindings import Batch, ContextOptions, refused
from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.errors import ModelError, OutOfMemoryError

Logits = npt.NDArray[np.float32]
PIECE = 512  # most tokens of one pass


class Sequences:
    """Room for ``count`` sequences of at most ``length`` tokens; a context manager that frees it.

    Parameters
    ----------
    adapter
        A GGUF adapter that is added to the weights; None for the file alone.

    Attributes
    ----------
    piece
        Most tokens of one pass.
    """

    def __init__(self, file: GgufFile, count: int, length: int, adapter: Path | None = None) -> None:
        self._file, self._lib = file, file.lib
        # The library rounds to 256 by itself, and divides what there is among the sequences.
        length = -(-length // 256) * 256
        options: ContextOptions = self._lib.llama_context_default_params()
        options.n_ctx, options.n_seq_max = count * length, count
        self.piece = min(PIECE, count * length)  # the library takes no more in a pass than there is room for
        options.n_batch = options.n_ubatch = self.piece
        self._lib.forget()
        self._context: Any = self._lib.llama_init_from_model(file.handle, options)
        if not self._context:
            raise OutOfMemoryError(
                f"{file.path.name} has no room for {count} sequences of {length} tokens.",
                why=self._lib.why(),
                fix="Ask fewer or shorter prompts, or a smaller max_new_tokens.",
            )
        self._batch: Batch = self._lib.llama_batch_init(self.piece, 0, 1)
        try:
            asked = {"n_ctx": count * length, "n_batch": self.piece, "n_ubatch": self.piece, "n_seq_max": count}
            for name, value in asked.items():
                found = getattr(self._lib, f"llama_{name}")(self._context)
                if found != value:
                    raise refused(self._lib, name, value, found)
            threads = cores()
            self._lib.llama_set_n_threads(self._context, threads, threads)
            self._memory = self._lib.llama_get_memory(self._context)
            if adapter is not None:
                handles, scales = (c.c_void_p * 1)(file.adapter(adapter)), (c.c_float * 1)(1.0)
                if self._lib.llama_set_adapters_lora(self._context, handles, 1, scales) != 0:
                    raise ModelError(f"The adapter {adapter} cannot be used: {self._lib.why()}")
        except BaseException:
            self.close()
            raise

    def feed(self, pieces: Sequence[tuple[int, int, Sequence[int], int]]) -> list[Logits]:
        """Compute pieces of sequences, at most :attr:`piece` tokens together.

        Parameters
        ----------
        pieces
            (sequence, position of the first token, tokens, number of last tokens whose logits are wanted).

        Returns
        -------
        list
            Of each piece the logits that were wanted, float32 of shape (wanted, vocabulary), copied.
        """
        batch, place = self._batch, 0
        wanted: list[list[int]] = []
        for sequence, start, tokens, last in pieces:
            for offset, token in enumerate(tokens):
                batch.token[place], batch.pos[place] = token, start + offset
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
                batch.logits[place] = int(offset >= len(tokens) - last)
                place += 1
            wanted.append(list(range(place - last, place)))
        batch.n_tokens = place
        self._lib.forget()
        code = self._lib.llama_decode(self._context, batch)
        if code != 0:
            raise ModelError(f"llama.cpp could not compute {place} tokens (code {code}).", why=self._lib.why())
        return [self._read(places) for places in wanted]

    def _read(self, places: list[int]) -> Logits:
        found = np.empty((len(places), self._file.vocabulary), np.float32)
        for row, place in enumerate(places):
            found[row] = np.ctypeslib.as_array(
                self._lib.llama_get_logits_ith(self._context, place), (self._file.vocabulary,)
            )
        return found

    def copy(self, source: int, target: int, length: int) -> bool:
        """Let a sequence begin with the first tokens of another one; returns whether this kind of model can."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        if self._lib.llama_memory_seq_rm(self._memory, target, length, -1):
            return True
        self.clear(target)
        return False

    def clear(self, sequence: int) -> None:
        """Give the places of a sequence back."""
        self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def close(self) -> None:
        """Free it; later calls do nothing."""
        if self._context:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
            self._context = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cores() -> int:
    """Return how many threads compute: as OMP_NUM_THREADS says, else one for each core that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(int(asked), there)) if asked.isdecimal() else there
