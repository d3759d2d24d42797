"""The floors of the house, and what goes against them: which module imports which, read from the sources.

``python -m tests.floors`` prints imports that go up a floor, circles, and what names a framework or a backend outside of
``backends``. Imports in functions and under ``TYPE_CHECKING`` count, because what a module names it cannot be taken apart from;
only two modules of one package may name each other in type hints.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx

ROOT = Path(__file__).resolve().parents[1] / "shadownb"

# The longest beginning that fits says the floor. A module imports from its own floor and from those below.
FLOORS: dict[str, int] = {
    "shadownb": 10,
    "shadownb.__main__": 9,
    "shadownb.cli": 9,
    "shadownb.demo": 9,
    "shadownb.stand_in": 9,
    "shadownb.magics": 9,
    "shadownb._verbs": 9,
    "shadownb.panels": 9,
    "shadownb.engine.doctor": 8,
    "shadownb.engine.evals": 8,
    "shadownb.engine.exports": 8,
    "shadownb.engine.facts": 8,
    "shadownb.engine.judging": 8,
    "shadownb.engine.models": 8,
    "shadownb.engine.serving": 8,
    "shadownb.engine.teachers": 8,
    "shadownb.engine.backends": 7,
    "shadownb.engine.exporters": 7,
    "shadownb.engine.gguf": 7,
    "shadownb.engine.runs": 6,
    "shadownb.engine.acceleration": 5,
    "shadownb.engine.capabilities": 5,
    "shadownb.engine.endpoint": 5,
    "shadownb.engine.estimate": 5,
    "shadownb.engine.hardware": 5,
    "shadownb.engine.opening": 5,
    "shadownb.engine.answering": 4,
    "shadownb.engine.capture": 4,
    "shadownb.engine.loaded": 4,
    "shadownb.engine.ports": 4,
    "shadownb.engine.sandbox": 4,
    "shadownb.engine.traces": 4,
    "shadownb.engine.config": 3,
    "shadownb.engine.config_fields": 3,
    "shadownb.engine.config_objectives": 3,
    "shadownb.engine.data": 3,
    "shadownb.engine.objectives": 3,
    "shadownb.engine.lengths": 3,
    "shadownb.engine.environments": 2,
    "shadownb.engine.inference": 2,
    "shadownb.engine.methods": 2,
    "shadownb.engine.rendering": 2,
    "shadownb.engine.replies": 2,
    "shadownb.engine.routing": 2,
    "shadownb.engine.trajectories": 2,
    "shadownb.engine": 1,
    "shadownb._version": 1,
    "shadownb.errors": 1,
}

FRAMEWORKS = ("torch", "transformers", "peft", "trl", "mlx", "mlx_lm", "accelerate", "bitsandbytes")
_BACKENDS = "shadownb.engine.backends."


@dataclass(frozen=True, order=True)
class Edge:
    """One module that names another; ``hint`` where that is under ``TYPE_CHECKING``."""

    importer: str
    imported: str
    hint: bool = False

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}"

    @property
    def goes_up(self) -> bool:
        """Whether what is imported stands on a higher floor."""
        return floor(self.imported) > floor(self.importer)

    @property
    def within_a_package(self) -> bool:
        """Whether both lie in one folder."""
        return _package(self.importer) == _package(self.imported)


def floor(module: str) -> int:
    """Return the floor of a module of ours."""
    name = module
    while name not in FLOORS:
        name = name.rpartition(".")[0]
    # The surface of the whole package stands at the top; what lies under it has floors of its own.
    assert name != "shadownb" or module == "shadownb", f"{module} has no floor: name it in FLOORS"
    return FLOORS[name]


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("shadownb", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def edges() -> tuple[Edge, ...]:
    """Return every import between two modules of ours."""
    found = set()
    for name, path in modules().items():
        for imported, hint in imports_of(name, path):
            ours = _ours(imported)
            if ours is not None and ours != name:
                found.add(Edge(name, ours, hint))
    return tuple(sorted(found))


@cache
def frameworks() -> tuple[str, ...]:
    """Return ``module -> framework`` of each import of a framework outside of ``backends``, hints included."""
    return tuple(
        sorted(
            {
                f"{name} -> {top}"
                for name, path in modules().items()
                if ".backends" not in name
                for imported, _ in imports_of(name, path)
                if (top := imported.partition(".")[0]) in FRAMEWORKS
            }
        )
    )


@cache
def backends_named() -> tuple[str, ...]:
    """Return ``module -> backend`` where a module outside of ``backends`` names one, by an import or in a text.

    Only the composition root does: it says to the registry where they are.
    """
    found = {
        f"{edge.importer} -> {edge.imported}"
        for edge in edges()
        if edge.imported.startswith(_BACKENDS) and ".backends." not in f"{edge.importer}."
    }
    for name, path in modules().items():
        if ".backends" in name or name == "shadownb":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_BACKENDS):
                found.add(f"{name} -> {node.value}")
    return tuple(sorted(found))


def circles() -> list[list[str]]:
    """Return the circles of modules that import each other, largest first; hints within a package do not count."""
    graph = networkx.DiGraph(
        (edge.importer, edge.imported) for edge in edges() if not (edge.hint and edge.within_a_package)
    )
    found = [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]
    return sorted(found, key=lambda part: (-len(part), part))


def _package(module: str) -> str:
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


def _ours(imported: str) -> str | None:
    """Return the module that a dotted name lies in, or None if it is not of the package."""
    name = imported
    while name:
        if name in modules():
            return name
        name = name.rpartition(".")[0]
    return None


def imports_of(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each dotted name that a module imports, and whether only for type hints."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hints = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in hints) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", id(node) in hints) for alias in node.names)


def main() -> None:
    """Print what goes against the floors."""
    up = sorted({str(edge) for edge in edges() if edge.goes_up})
    print("\n".join([*up, *frameworks(), *backends_named()]))
    print(f"\n{len(up)} imports go up, of {len(edges())} between {len(modules())} modules")
    print(f"{len(frameworks())} name a framework outside of backends, {len(backends_named())} a backend")
    for part in circles():
        print(f"circle of {len(part)}: {', '.join(part[:6])}{' ...' if len(part) > 6 else ''}")


if __name__ == "__main__":
    main()
