"""Start real kernels for tests.

A kernel's five ports are free when its manager chooses them and are bound by the kernel a second later. With several test
processes that open sockets of their own, another one may have one by then, and the kernel ends before it answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE = 120  # seconds until a message that never comes fails a test
TRIES = 3

P = ParamSpec("P")
T = TypeVar("T")


def again_where_it_died(start: Callable[P, T]) -> Callable[P, T]:
    """Return ``start``, called again with new ports where the kernel died before it answered."""

    @functools.wraps(start)
    def trying(*arguments: P.args, **options: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return start(*arguments, **options)
            except RuntimeError as error:
                if "died before" not in str(error):
                    raise
        return start(*arguments, **options)

    return trying


@again_where_it_died
def start_kernel(**options: Any) -> tuple[KernelManager, BlockingKernelClient]:
    """Return a running kernel's manager and a client that has its answer; ``options`` as for ``start_kernel`` of a manager."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(**options)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
    except BaseException:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        raise
    return manager, client


def notebooks_too() -> None:
    """Start the kernels of notebooks that nbval runs in the same way."""
    from nbval import kernel

    kernel.start_new_kernel = again_where_it_died(kernel.start_new_kernel)
