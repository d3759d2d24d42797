"""GGUF files computed by llama.cpp, as a backend that answers and trains nothing.

:mod:`.bindings` has the C functions, :mod:`.file` an open file with its adapters, :mod:`.sequences` tokens going through it,
:mod:`.generation` what answers, :mod:`.likelihood` how likely it finds given tokens, :mod:`.tokenizer` text and ids.
"""
