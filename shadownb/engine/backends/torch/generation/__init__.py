"""Answers on torch: rows decoded together, or by transformers' ``generate``, with weights that are borrowed and given back."""
