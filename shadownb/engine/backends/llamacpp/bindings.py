"""llama.cpp's C interface, out of the library that xllamacpp (or llama-cpp-python) brings.

xllamacpp's own class starts an HTTP server for each model, fixes its adapters at the start, and gives no logits. The library
in its wheel exports the C interface, which has logits, takes adapters at any time and listens nowhere; it is called here by
ctypes. Only functions of numbers and pointers are used, and of the three structures that go by value only fields that have
been where they are since they exist: what was asked for is read back through the interface's own getters, and a library
that answers otherwise is refused.
"""

from __future__ import annotations

import collections
import ctypes as c
import functools
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

from shadownb.errors import MissingDependencyError, ModelError

_ROOM = 1024  # bytes of the two structures of options, of which today's have 72 and 160
_PACKAGES = (
    ("xllamacpp", "*.so"),
    ("xllamacpp", "*.pyd"),
    ("llama_cpp", "lib/libllama.*"),
    ("llama_cpp", "lib/llama.dll"),
)
_FIX = "pip install 'shadownb[gguf]'"
_LINES = 40  # of what the library says last, for the reason of a failure


class ModelOptions(c.Structure):
    """``llama_model_params``, taken as the library makes it."""

    _fields_ = (("all", c.c_char * _ROOM),)


class ContextOptions(c.Structure):
    """``llama_context_params``: its first fields, and the rest as the library makes it."""

    _fields_ = (
        ("n_ctx", c.c_uint32),
        ("n_batch", c.c_uint32),
        ("n_ubatch", c.c_uint32),
        ("n_seq_max", c.c_uint32),
        ("rest", c.c_char * (_ROOM - 16)),
    )


class Batch(c.Structure):
    """``llama_batch``: tokens with their places, and whether logits are wanted of each."""

    _fields_ = (
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.c_void_p),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    )


_P, _I, _U, _S, _B = c.c_void_p, c.c_int32, c.c_uint32, c.c_char_p, c.c_bool
_LOG = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
_SIGNATURES: dict[str, tuple[Any, ...]] = {  # name: (result, arguments ...)
    "llama_log_set": (None, _LOG, _P),
    "llama_backend_init": (None,),
    "llama_model_default_params": (ModelOptions,),
    "llama_model_load_from_file": (_P, _S, ModelOptions),
    "llama_model_free": (None, _P),
    "llama_model_get_vocab": (_P, _P),
    "llama_model_n_ctx_train": (_I, _P),
    "llama_model_n_params": (c.c_uint64, _P),
    "llama_model_size": (c.c_uint64, _P),
    "llama_model_meta_val_str": (_I, _P, _S, c.c_char_p, c.c_size_t),
    "llama_vocab_n_tokens": (_I, _P),
    "llama_tokenize": (_I, _P, _S, _I, c.POINTER(_I), _I, _B, _B),
    "llama_context_default_params": (ContextOptions,),
    "llama_init_from_model": (_P, _P, ContextOptions),
    "llama_free": (None, _P),
    "llama_n_ctx": (_U, _P),
    "llama_n_batch": (_U, _P),
    "llama_n_ubatch": (_U, _P),
    "llama_n_seq_max": (_U, _P),
    "llama_set_n_threads": (None, _P, _I, _I),
    "llama_get_memory": (_P, _P),
    "llama_memory_clear": (None, _P, _B),
    "llama_memory_seq_rm": (_B, _P, _I, _I, _I),
    "llama_memory_seq_cp": (None, _P, _I, _I, _I, _I),
    "llama_batch_init": (Batch, _I, _I, _I),
    "llama_batch_free": (None, Batch),
    "llama_decode": (_I, _P, Batch),
    "llama_get_logits_ith": (c.POINTER(c.c_float), _P, _I),
    "llama_adapter_lora_init": (_P, _P, _S),
    "llama_adapter_lora_free": (None, _P),
    "llama_set_adapters_lora": (_I, _P, c.POINTER(_P), c.c_size_t, c.POINTER(c.c_float)),
    "ggml_quantize_chunk": (c.c_size_t, c.c_int, c.POINTER(c.c_float), _P, c.c_int64, c.c_int64, c.c_int64, _P),
    "ggml_quantize_requires_imatrix": (_B, c.c_int),
    "ggml_row_size": (c.c_size_t, c.c_int, c.c_int64),
}


class Library:
    """The functions by name, and what the library said last.

    Attributes
    ----------
    version
        The package that it came with and its version.
    """

    def __init__(self, file: Path, version: str) -> None:
        self.version = version
        self._said: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._listener = _LOG(self._hear)
        loaded = c.CDLL(str(file))
        missing = [name for name in _SIGNATURES if not hasattr(loaded, name)]
        if missing:
            raise MissingDependencyError(
                f"{version} exports no {missing[0]}, which GGUF files are computed with.",
                why="Its build keeps llama.cpp's C interface to itself, or it is of another year.",
                fix=_FIX,
            )
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.llama_log_set(self._listener, None)
        self.llama_backend_init()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # all there are were set

    def _hear(self, _: int, text: bytes, __: Any) -> None:
        if len(text) > 1:  # dots of a progress bar
            self._said.append(text.decode("utf-8", "replace").strip())

    def why(self) -> str:
        """Return what the library said about its last failure, in one line."""
        told = [line for line in self._said if "rror" in line or "fail" in line or "unknown" in line]
        return told[0] if told else (self._said[-1] if self._said else "It gave no reason.")

    def forget(self) -> None:
        """Forget what was said before."""
        self._said.clear()


@functools.cache
def library() -> Library:
    """Return the library of this process, loaded once.

    Raises
    ------
    MissingDependencyError
        No package here brings one, or it lacks a function.
    """
    found = _find()
    if found is None:
        raise MissingDependencyError(
            "Computing a GGUF file needs llama.cpp, and neither xllamacpp nor llama-cpp-python is installed.", fix=_FIX
        )
    return Library(*found)


def missing() -> bool:
    """Return whether there is no library here, without loading one."""
    return _find() is None


def _find() -> tuple[Path, str] | None:
    for package, pattern in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted(Path(folder).glob(pattern)):
                distribution = package.replace("_cpp", "-cpp-python")
                return file, f"{distribution} {metadata.version(distribution)}"
    return None


def refused(lib: Library, name: str, asked: int, found: int) -> ModelError:
    """Return the error of a library that understood an option otherwise."""
    return ModelError(
        f"{lib.version} took {name}={asked} for {found}.",
        why="Its structures are others than those that ShadowNB was written for, so nothing that it computes could be trusted.",
        fix=_FIX,
    )
