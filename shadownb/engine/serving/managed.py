"""A server of another program that we start, look after and end: vLLM, SGLang. Killed, it is started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import httpx
import psutil

from shadownb.engine.processes import detached
from shadownb.errors import MissingDependencyError, RunError

_LOOK_SECONDS = 0.2
_RESTARTS = 5  # in a row; one that has been ready for a minute begins anew
_CALM_SECONDS = 60.0
_END_SECONDS = 10.0


class ManagedServer:
    """A process that serves a model.

    Parameters
    ----------
    command
        Without the port; ``{port}`` in an argument is replaced.
    health
        Path that answers 200 once it is ready.
    log
        Gets what it prints.
    start_seconds
        How long it may take until it is ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        health: str = "/health",
        start_seconds: float = 900.0,
    ) -> None:
        self.name, self.log, self._health = name, log, health
        self._command, self._env, self._start_seconds = list(command), dict(env or {}), start_seconds
        self.port = _free_port()
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._why = "starting"
        self._watcher: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The number of its process; None while there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def broken(self) -> str:
        """Return why it cannot be asked now; empty where it can."""
        if self._ready.is_set() and self.pid is not None:
            return ""
        return f"The engine {self.name} is not ready: {self._why}."

    def start(self) -> None:
        """Start it and return when it is ready. Raises :class:`RunError` with the end of its log where it does not get there."""
        self._begin()
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name=f"shadownb-{self.name}", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End it and what it has started."""
        self._closing.set()
        self._end()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        command = [part.replace("{port}", str(self.port)) for part in self._command]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._env},
                    **detached(),
                )
            except OSError as error:
                raise RunError(
                    f"{self.name} cannot be started: {error}.", fix=f"The command was {command[0]}."
                ) from None

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + self._start_seconds
        with httpx.Client(trust_env=False, timeout=5.0) as web:
            while not self._closing.is_set():
                if self._process.poll() is not None:
                    raise RunError(
                        f"{self.name} ended while it started (exit status {self._process.returncode}).",
                        why=self._last_words(),
                        fix=f"Its log: {self.log}.",
                    )
                with contextlib.suppress(httpx.HTTPError):
                    if web.get(self.url + self._health).status_code == 200:
                        self._ready.set()
                        return
                if time.monotonic() > end:
                    raise RunError(
                        f"{self.name} was not ready after {self._start_seconds:g} s.", why=self._last_words(),
                        fix=f"Its log: {self.log}.",
                    )  # fmt: skip
                self._closing.wait(_LOOK_SECONDS)

    def _watch(self) -> None:
        """Start it again where it ends by itself."""
        tries, since = 0, time.monotonic()
        while not self._closing.is_set():
            process = self._process
            assert process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            if process.poll() is None or self._closing.is_set():
                continue
            self._ready.clear()
            if time.monotonic() - since > _CALM_SECONDS:
                tries = 0
            tries += 1
            self._why = f"it ended with status {process.returncode} and is being started again"
            if tries > _RESTARTS:
                self._why = f"it ended {_RESTARTS} times in a row; its log: {self.log}"
                return
            self._end()
            try:
                self._begin()
                self._wait()
            except RunError as error:
                self._why = error.what
                continue
            self.restarts, since = self.restarts + 1, time.monotonic()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        family: list[Any] = []
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(process.pid)
            family = [found, *found.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.Error):
                each.terminate()
        _, left = psutil.wait_procs(family, timeout=_END_SECONDS)
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.wait()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return " | ".join(line.strip() for line in lines[-5:])[-600:]
        return ""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def vllm_command(folder: str, name: str, adapters: Mapping[str, str], dtype: str, options: Sequence[str]) -> list[str]:
    """Return the command of a vLLM server. Raises MissingDependencyError where vLLM is not installed."""
    start = _program("vllm", ["vllm", "serve"], [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"])
    command = [*start, folder, "--served-model-name", name, "--host", "127.0.0.1", "--port", "{port}", "--dtype", dtype]
    if adapters:
        command += ["--enable-lora", "--lora-modules", *(f"{each}={path}" for each, path in adapters.items())]
    return [*command, *options]


def sglang_command(
    folder: str, name: str, adapters: Mapping[str, str], dtype: str, options: Sequence[str]
) -> list[str]:
    """Return the command of an SGLang server. Raises MissingDependencyError where SGLang is not installed."""
    start = _program("sglang", ["sglang", "serve"], [sys.executable, "-m", "sglang.launch_server"])
    command = [
        *start, "--model-path", folder, "--served-model-name", name, "--host", "127.0.0.1", "--port", "{port}",
        "--dtype", dtype,
    ]  # fmt: skip
    if adapters:
        command += ["--lora-paths", *(f"{each}={path}" for each, path in adapters.items())]
    return [*command, *options]


COMMANDS = {"vllm": vllm_command, "sglang": sglang_command}


def _program(package: str, program: list[str], module: list[str]) -> list[str]:
    if util.find_spec(package) is not None:
        return module
    if shutil.which(program[0]) is not None:
        return program
    raise MissingDependencyError(
        f"engine={package!r}: {package} is not installed here.",
        why="Neither this environment nor the PATH has it.",
        fix=f"Install {package} (in an environment of its own, with its program on the PATH), or use engine='auto'.",
    )
