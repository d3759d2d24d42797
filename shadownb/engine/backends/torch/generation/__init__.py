"""Answers on torch: transformers' ``generate`` on rows of our own making, with weights that are borrowed and given back."""
