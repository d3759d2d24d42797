"""What a program in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

from shadownb.errors import ConfigError

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of one program and all that it starts. A bound that is met ends it, and the outcome says which.

    Attributes
    ----------
    wall_seconds : float
        From its start to its end.
    cpu_seconds : int
        Of one process; of all processes together it is looked at ten times a second.
    memory_bytes : int
        Resident memory of all its processes together, looked at ten times a second.
    address_space : bool
        Whether the kernel refuses each process more virtual memory than ``memory_bytes`` as well, at once. False for node, Java
        and Go, which reserve far more than they use.
    processes : int
        Processes and threads at a time.
    disk_bytes : int
        Of its folder, which lies in memory; as much again in ``/dev/shm``.
    output_bytes : int
        Of stdout and of stderr, each.
    files : int
        Open files of one process.

    Raises
    ------
    ConfigError
        A bound is not above 0.

    Examples
    --------
    >>> snb.sandbox.run_python("while True: pass", limits=snb.sandbox.Limits(wall_seconds=0.5)).status
    'timeout'
    """

    wall_seconds: float = 10.0
    cpu_seconds: int = 10
    memory_bytes: int = 1024 * MIB
    address_space: bool = True
    processes: int = 64
    disk_bytes: int = 64 * MIB
    output_bytes: int = MIB
    files: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and not value > 0:
                raise ConfigError(f"{field.name}={value!r} leaves a program nothing.", fix="Give a number above 0.")
