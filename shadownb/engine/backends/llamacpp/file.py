"""An open GGUF file: what it says of itself, its adapters, and what was made of its memory."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any

from shadownb.engine.backends.llamacpp.bindings import Library, ModelOptions, library
from shadownb.errors import ModelError


class GgufFile:
    """A GGUF file in memory (mapped, so that several processes share its pages).

    Attributes
    ----------
    path
        Where it lies.
    vocabulary
        Number of tokens.
    positions
        Most tokens of prompt and answer together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lib: Library = library()
        self.lib.forget()
        options: ModelOptions = self.lib.llama_model_default_params()
        self._model: Any = self.lib.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise ModelError(
                f"{path} cannot be computed by llama.cpp.",
                why=self.lib.why(),
                fix="Export it again, or load the model that it was made of.",
            )
        self._adapters: dict[Path, Any] = {}
        self.vocabulary = int(self.lib.llama_vocab_n_tokens(self._vocab))
        self.positions = int(self.lib.llama_model_n_ctx_train(self._model))

    @property
    def handle(self) -> Any:
        """The library's own pointer to the model."""
        return self._model

    @property
    def _vocab(self) -> Any:
        return self.lib.llama_model_get_vocab(self._model)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.lib.llama_model_n_params(self._model))

    @property
    def bytes(self) -> int:
        """Bytes of its tensors."""
        return int(self.lib.llama_model_size(self._model))

    def said(self, key: str) -> str | None:
        """Return one of its values as text, such as ``general.architecture``; None where it has no such key."""
        buffer = c.create_string_buffer(64)
        size = self.lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        if size < 0:
            return None
        if size >= len(buffer):
            buffer = c.create_string_buffer(size + 1)
            self.lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def tokens(self, text: str) -> list[int]:
        """Return the ids of a text as llama.cpp reads it: control tokens in it count, and nothing is put before it."""
        raw = text.encode()
        ids = (c.c_int32 * (len(raw) + 8))()
        count = self.lib.llama_tokenize(self._vocab, raw, len(raw), ids, len(ids), False, True)
        assert count >= 0, "a text has no more tokens than bytes"
        return list(ids[:count])

    def adapter(self, path: Path) -> Any:
        """Return an adapter of this file, read once."""
        if path not in self._adapters:
            self.lib.forget()
            found = self.lib.llama_adapter_lora_init(self._model, str(path).encode())
            if not found:
                raise ModelError(
                    f"The adapter {path} does not fit {self.path.name}.",
                    why=self.lib.why(),
                    fix="Export it again from a model on this base: model.export(path, format='gguf-lora').",
                )
            self._adapters[path] = found
        return self._adapters[path]

    def drop_adapter(self, path: Path) -> None:
        """Free an adapter."""
        found = self._adapters.pop(path, None)
        if found is not None:
            self.lib.llama_adapter_lora_free(found)

    def close(self) -> None:
        """Free it; whoever computes with it has ended."""
        if self._model:
            for path in list(self._adapters):
                self.drop_adapter(path)
            self.lib.llama_model_free(self._model)
            self._model = None
