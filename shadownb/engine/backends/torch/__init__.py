"""Training with torch: transformers' Trainer and peft, over one shared layer for events, commands and checkpoints."""

from shadownb.engine.backends.torch.quantized import quiet_about_kernels

quiet_about_kernels()  # before peft, which imports bitsandbytes
