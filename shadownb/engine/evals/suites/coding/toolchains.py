"""Compilers and interpreters of this machine: programs of several languages built and run in the sandbox.

A program has passed where it ended with exit code 0 and printed a word, another one each time, that stands behind its last test.
So one that ends early, with whatever exit code, has not passed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from shadownb.engine.evals.suites.base import NO_TOOLCHAIN
from shadownb.engine.evals.suites.coding import stubs
from shadownb.engine.evals.suites.coding.programs import OUTCOMES, Ran
from shadownb.engine.sandbox.limits import MIB, Limits
from shadownb.engine.sandbox.running import run
from shadownb.errors import MissingDependencyError

_BUILD_SECONDS, _RUN_SECONDS = 40, 10  # of CPU time; reference solutions take up to 4 and 1
_NOT_BUILT = 90  # an exit code that no compiler and no signal gives


@dataclass(frozen=True)
class Toolchain:
    """How programs of one language are built and run.

    Attributes
    ----------
    language
        What people call it.
    tool
        The program that has to be there.
    source
        What the source file is called.
    build
        A shell command that builds it, or checks it; empty where it is run as it is.
    start
        A shell command that runs it.
    package
        How the tool is installed.
    missing
        What a message says of a library that is not there; its first group is the name.
    folders
        Folders beside the system's that building and running reads.
    stubs
        Files of ours in its folder, in the place of libraries that only tests use.
    variables
        Of its environment.
    """

    language: str
    tool: str
    source: str
    build: str
    start: str
    package: str
    missing: str = r"(?!)"
    folders: Callable[[], Sequence[str]] = tuple
    stubs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def trouble(self) -> str:
        """Return why nothing can be built here, or nothing."""
        if shutil.which(self.tool) is None:
            return f"{self.tool} is not installed ({self.package})"
        return ""

    def try_all(self, sources: Sequence[str], mark: str, needed: str) -> Ran:
        """Run the first of the sources that can be built, or say why none can.

        Parameters
        ----------
        mark
            What is printed behind the last test.
        needed
            What names the libraries that the item itself needs: where one of those is not here, nothing can be told.

        Raises
        ------
        SandboxError
            This machine cannot enclose a program.
        """
        if trouble := self.trouble():
            return Ran(None, NO_TOOLCHAIN, trouble)
        failed = []
        for source in sources:
            ran, built = self._try(source, mark)
            found = re.search(self.missing, ran.reason)
            name = next((group for group in found.groups() if group), "") if found else ""
            if name and name in needed:
                return Ran(None, NO_TOOLCHAIN, f"{name} is not installed")
            if built:
                return ran
            failed.append(ran)
        return failed[0] if failed else Ran(0.0, "no code", "the answer holds no code")

    def _try(self, source: str, mark: str) -> tuple[Ran, bool]:
        build = f"{self.build} || exit {_NOT_BUILT}\n" if self.build else ""
        outcome = run(
            ["/bin/sh", "-c", f"{build}ulimit -t {_RUN_SECONDS}\n{self.start}"],
            files={self.source: source, **self.stubs},
            limits=_LIMITS,
            readable=[folder for folder in self.folders() if os.path.lexists(folder)],
            environment=self.variables,
        )
        if outcome.exit_code == _NOT_BUILT:
            return Ran(0.0, "does not compile", _said(outcome.stderr + outcome.stdout) or outcome.reason), False
        if outcome.ok:
            if mark in outcome.stdout:
                return Ran(1.0, "passed", "passes its tests"), True
            return Ran(0.0, "failed", "ended before its tests did"), True
        kind = "timed out" if outcome.exit_code in (137, 152) else OUTCOMES.get(outcome.status, "failed")
        return Ran(0.0, kind, _said(outcome.stderr) or outcome.reason), True


_LIMITS = Limits(
    wall_seconds=3 * (_BUILD_SECONDS + _RUN_SECONDS),
    cpu_seconds=_BUILD_SECONDS + _RUN_SECONDS,
    memory_bytes=2048 * MIB,
    address_space=False,  # node, Java and Go reserve far more than they use
    processes=256,
    disk_bytes=256 * MIB,
)


def _said(stderr: str) -> str:
    """Return the line of a message that says what is wrong."""
    telling = (line.strip() for line in stderr.splitlines() if re.search(r"(?i)error|assert|panick|fail", line))
    return next(telling, "")[:200]


def new_mark() -> str:
    """Return a word that no program knows."""
    return f"done-{secrets.token_hex(12)}"


@cache
def _rust() -> tuple[str, ...]:
    """Return the folder of the Rust toolchain; ``rustc`` on the path may be rustup's, which looks for it at home."""
    told = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, timeout=60, check=False)
    return (told.stdout.strip(),) if told.returncode == 0 else ()


@cache
def _go() -> tuple[str, ...]:
    """Return the folders of the Go toolchain; distributions keep its sources elsewhere and link them."""
    told = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, timeout=60, check=False)
    root = Path(told.stdout.strip())
    return (str(root), str((root / "src").resolve()), str((root / "pkg").resolve())) if told.returncode == 0 else ()


def _around(tool: str, up: int) -> Callable[[], Sequence[str]]:
    """Return the folder of a tool that may be installed anywhere: ``up`` folders above where its link leads."""

    @cache
    def found() -> tuple[str, ...]:
        place = shutil.which(tool)
        return (str(Path(place).resolve().parents[up]),) if place else ()

    return found


def _rustc() -> str:
    return f"{(*_rust(), '')[0]}/bin/rustc"


_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss16m"


@cache
def find(language: str) -> Toolchain:
    """Return the toolchain of a language by its short name: ``cpp``, ``go``, ``java``, ``js``, ``pl``, ``rs``, ``sh``, ``ts``."""
    tuples = os.environ.get("SHADOWNB_JAVATUPLES", "/usr/share/java/javatuples.jar")
    path = f"-cp {tuples}:." if Path(tuples).exists() else "-cp ."
    if language == "rs":
        rustc = _rustc() if shutil.which("rustc") else "rustc"
        missing = r"(?:unresolved import `|(?:crate|module|type) (?:or module )?`)(rand|regex|Regex|md5|Rng)\b"
        build = f"{rustc} $(grep -q '#.cfg(test)' main.rs && echo --test) --edition 2021 -A warnings -o main main.rs"
        return Toolchain(
            "Rust", "rustc", "main.rs", build, "./main --nocapture", "rustup.rs, or apt install rustc", missing, _rust
        )
    return {
        "cpp": Toolchain(
            "C++", "g++", "main.cpp", "g++ -std=c++17 -O0 -w -o main main.cpp -lcrypto", "./main", "apt install g++",
            r"fatal error: ([\w./-]+): No such file",
        ),
        "java": Toolchain(
            "Java", "javac", "Main.java", f"javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -nowarn {path} Main.java",
            f"java {_JVM} -ea {path} $(ls Main.class Problem.class 2>/dev/null | head -n 1 | sed s/.class//)",
            "apt install default-jdk-headless", r"package (org\.javatuples) does not exist|class (Pair|Triplet|Quartet)\b",
            lambda: ("/etc/java-17-openjdk", *_around("javac", 1)(), *([tuples] if Path(tuples).exists() else [])),
        ),
        "js": Toolchain(
            "JavaScript", "node", "main.js", "", "node --stack-size=4000 main.js", "apt install nodejs",
            r"Cannot find module '([\w./-]+)'", _around("node", 1),
        ),
        "ts": Toolchain(
            "TypeScript", "tsc", "main.ts", "node $TSC --target esnext --outDir . main.ts 1>&2", "node main.js",
            "npm install -g typescript", r"Cannot find module '([\w./-]+)'",
            lambda: (*_around("node", 1)(), *_around("tsc", 1)()),
            variables={"TSC": str(Path(shutil.which("tsc") or "tsc").resolve())},
        ),
        "pl": Toolchain(
            "Perl", "perl", "main.pl", "", "perl -I . main.pl", "apt install perl",
            r"Can't locate ([\w/]+)", stubs={"Test/Deep.pm": stubs.TEST_DEEP},
        ),
        "sh": Toolchain("Bash", "bash", "main.sh", "bash -n main.sh", "bash main.sh", "apt install bash"),
        "go": Toolchain(
            "Go", "go", "main_test.go", f"mkdir tmp && TMPDIR=/box/tmp {shutil.which('go')} test -c -o main .", "./main",
            "apt install golang",
            r"cannot find (?:module|package) \"?([\w./-]+)", _go,
            stubs.GO_MODULES,
            {"GOCACHE": "/box/cache", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GO111MODULE": "on"},
        ),
    }[language]  # fmt: skip


def check(languages: Sequence[str]) -> None:
    """Raise :class:`MissingDependencyError` where none of the languages can be built here."""
    troubles = [trouble for language in languages if (trouble := find(language).trouble())]
    if troubles and len(troubles) == len(languages):
        raise MissingDependencyError(
            f"No program can be built here: {', '.join(dict.fromkeys(troubles))}.",
            fix="Install one of them; answers are kept, and the same call goes on with grading.",
        )
