"""Training and answers on MLX, with the models of mlx-lm.

:mod:`.worker` has the one thread that computes, :mod:`.loading` what is read, :mod:`.adapters` what is trained, :mod:`.training` a
session, :mod:`.generation` what answers.
"""
