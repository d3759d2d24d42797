"""The torch backend: transformers' models, peft's adapters, torch's optimizers."""

from shadownb.engine.backends.torch import quiet

quiet.about_kernels()  # before peft, which imports bitsandbytes
