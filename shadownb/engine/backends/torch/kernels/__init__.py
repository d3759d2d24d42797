"""Faster ways to compute what a model computes anyway: one file each, with its plain torch reference beside it.

Each has ``computed``, the kernel, and ``plain``, what it is compared with in ``tests/engine/test_kernels.py``, in values and
gradients. :mod:`.installed` puts them on the modules of one model, :mod:`.choosing` decides which are on, by what
:mod:`.trial` measured on this machine and by comparing the loaded model with itself. :mod:`.liger` is a package's, on GPUs.
A new one is a file here, a name and its modules in :mod:`.installed`, and what is timed in :mod:`.trial`.
"""
