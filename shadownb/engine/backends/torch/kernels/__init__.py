"""Faster ways to compute what a model computes anyway: one file each, with its plain torch reference beside it."""
