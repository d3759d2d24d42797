"""Writing files in GGUF, without any framework.

:mod:`.tensors` reads safetensors, :mod:`.layout` says what is called and turned how, :mod:`.types` has the number formats,
:mod:`.adapter` writes a LoRA.
"""
