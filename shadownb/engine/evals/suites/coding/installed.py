"""Compilers and interpreters of this machine, a description each, and what is wrong with those that are missing or broken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from shadownb.engine.evals.suites.coding import stubs
from shadownb.engine.evals.suites.coding.toolchains import Toolchain
from shadownb.errors import MissingDependencyError

_WORKING: dict[str, Toolchain] = {}  # those that built a program; one that is missing may be installed meanwhile


def find(language: str) -> Toolchain:
    """Return the toolchain of a language by its short name: ``cpp``, ``go``, ``java``, ``js``, ``pl``, ``rs``, ``sh``, ``ts``."""
    return _WORKING.get(language) or _described(language)


def troubles(languages: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with the toolchains of these languages that cannot be used; each is tried once.

    A compiler that is broken would call every answer wrong.
    """
    found = {}
    for language in languages:
        if language in _WORKING:
            continue
        described = _described(language)
        if trouble := described.trouble():
            found[language] = trouble
        else:
            _WORKING[language] = described
    return found


def none_works(troubles: Sequence[str]) -> MissingDependencyError:
    """Return the error of a suite of which no language can be graded."""
    return MissingDependencyError(
        f"No program can be built here: {', '.join(dict.fromkeys(troubles))}.",
        fix="Install one of them; answers are kept, and the same call goes on with grading.",
    )


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


def _described(language: str) -> Toolchain:
    tuples = os.environ.get("SHADOWNB_JAVATUPLES", "/usr/share/java/javatuples.jar")
    path = f"-cp {tuples}:." if Path(tuples).exists() else "-cp ."
    if language == "rs":
        rustc = _rustc() if shutil.which("rustc") else "rustc"
        missing = r"(?:unresolved import `|(?:crate|module|type) (?:or module )?`)(rand|regex|Regex|md5|Rng)\b"
        build = f"{rustc} $(grep -q '#.cfg(test)' main.rs && echo --test) --edition 2021 -A warnings -o main main.rs"
        return Toolchain(
            "Rust",
            "rustc",
            "main.rs",
            build,
            "./main --nocapture",
            "rustup.rs, or apt install rustc",
            'fn main() { println!("%s"); }',
            missing,
            _rust,
        )
    return {
        "cpp": Toolchain(
            "C++", "g++", "main.cpp", "g++ -std=c++17 -O0 -w -o main main.cpp -lcrypto", "./main", "apt install g++",
            '#include <cstdio>\nint main() { std::puts("%s"); }',
            r"fatal error: ([\w./-]+): No such file",
        ),
        "java": Toolchain(
            "Java", "javac", "Main.java", f"javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -nowarn {path} Main.java",
            f"java {_JVM} -ea {path} $(ls Main.class Problem.class 2>/dev/null | head -n 1 | sed s/.class//)",
            "apt install default-jdk-headless",
            'class Main { public static void main(String[] a) { System.out.println("%s"); } }',
            r"package (org\.javatuples) does not exist|class (Pair|Triplet|Quartet)\b",
            lambda: ("/etc/java-17-openjdk", *_around("javac", 1)(), *([tuples] if Path(tuples).exists() else [])),
        ),
        "js": Toolchain(
            "JavaScript", "node", "main.js", "", "node --stack-size=4000 main.js", "apt install nodejs", "console.log('%s')",
            r"Cannot find module '([\w./-]+)'", _around("node", 1),
        ),
        "ts": Toolchain(
            "TypeScript", "tsc", "main.ts", "$TSC --target esnext --strict false --outDir . main.ts 1>&2", "node main.js",
            "npm install -g typescript", "console.log('%s')", r"Cannot find module '([\w./-]+)'",
            lambda: (*_around("node", 1)(), *_typescript()), variables={"TSC": _tsc()},
        ),
        "pl": Toolchain(
            "Perl", "perl", "main.pl", "", "perl -I . main.pl", "apt install perl", 'print "%s";',
            r"Can't locate ([\w/]+)", stubs={"Test/Deep.pm": stubs.TEST_DEEP},
        ),
        "sh": Toolchain("Bash", "bash", "main.sh", "bash -n main.sh", "bash main.sh", "apt install bash", "echo %s"),
        "go": Toolchain(
            "Go", "go", "main_test.go", f"mkdir tmp && TMPDIR=/box/tmp {shutil.which('go')} test -c -vet=off -o main .", "./main",
            "apt install golang",
            'package answer\nimport ("fmt"; "testing")\nfunc TestMain(m *testing.M) { fmt.Println("%s") }',
            r"cannot find (?:module|package) \"?([\w./-]+)", _go,
            stubs.GO_MODULES,
            {"GOCACHE": "/box/cache", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GO111MODULE": "on"},
        ),
    }[language]  # fmt: skip


def _typescript() -> tuple[str, ...]:
    """Return the folders of TypeScript: since version 7 a program of the platform, in a package beside."""
    place = Path(shutil.which("tsc") or "/")
    package = place.resolve().parents[1] if place.name else place
    beside = sorted(package.parent.glob("@typescript/typescript-*"))
    return (str(package), *(str(each) for each in beside)) if place.name else ()


def _tsc() -> str:
    """Return the command of TypeScript's compiler."""
    native = [path for folder in _typescript() if (path := Path(folder) / "lib" / "tsc").is_file()]
    return str(native[0]) if native else f"node {Path(shutil.which('tsc') or 'tsc').resolve()}"
