"""Training with torch: transformers' Trainer and peft, over one shared layer for events, commands and checkpoints."""

from shadownb.engine.backends.torch import quiet

quiet.about_kernels()  # before peft, which imports bitsandbytes
