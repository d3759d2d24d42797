"""Faster ways to compute what a model computes anyway: one file each, with its plain torch reference beside it.

Each has ``computed``, the kernel, and ``plain``, what it is compared with in ``tests/engine/test_kernels.py``, in values and
gradients. :mod:`.installed` puts them on the modules of one model, :mod:`.choosing` decides which are on, by the figures of
:mod:`.rule` and by comparing the loaded model with itself. :mod:`.trial` shows whether those figures hold on a machine.
:mod:`.liger` is a package's, on GPUs. A new one is a file here, a name and its modules in :mod:`.installed`, its figures in
:mod:`.rule`, and what is timed in :mod:`.trial`.
"""
