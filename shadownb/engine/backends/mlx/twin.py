"""A second set of modules over the same arrays.

MLX never writes into an array: an update puts another one in its place. So a copy of the modules without a number in it is as good
as a second model. What is trained, and each adapter beside it, stands on one of its own; the base is never touched.
"""

from __future__ import annotations

from typing import Any

from mlx import nn


def twin_of(module: nn.Module) -> Any:
    """Return a copy of a model that shares its arrays."""
    made: dict[int, Any] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, nn.Module):
            if id(value) not in made:
                twin = type(value).__new__(type(value))
                made[id(value)] = twin
                vars(twin).update({name: copied(each) for name, each in vars(value).items()})
                twin._no_grad = set(value._no_grad)
                for name, each in value.items():
                    dict.__setitem__(twin, name, copied(each))
            return made[id(value)]
        if type(value) in (list, tuple):
            return type(value)(copied(each) for each in value)
        if type(value) is dict:
            return {name: copied(each) for name, each in value.items()}
        return value

    return copied(module)
