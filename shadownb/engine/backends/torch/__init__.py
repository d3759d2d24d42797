"""Training with torch: transformers' Trainer and peft, over one shared layer for events, commands and checkpoints."""
