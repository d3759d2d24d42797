"""Whether two commits train the same, bit for bit, on this machine: every method, and what must not change a run.

Run: ``python benchmarks/parity.py [OLD [NEW]] [--cases lora "optim sgd" ...] [--within 1e-3]``; OLD is ``HEAD`` unless given, NEW
the files at hand. Each commit is checked out aside and runs all cases in one process (:mod:`_parity`), one after the other.
Compared are losses and gradient norms of every step, evaluation losses, the final weights as they are exported (sha256 of each
tensor), the sampled answers, the kinds of the journal's events in order, and the messages of errors. Then runs that OLD was
killed in the middle of are resumed by NEW, and must end with the weights of a run that nothing disturbed.

Where a change is meant to round otherwise (another kernel), ``--within`` says by how much of its size a number may differ; weights
are then not compared, and how far losses are off, at the first step and at most, is printed of each case.

Committed golden curves (``tests/engine/golden``) have tolerances, as kernels differ from CPU to CPU; this has none. It exits
with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_SHOWN = 3  # differences that are printed of a case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", nargs="?", default="HEAD", help="a commit; default: HEAD")
    parser.add_argument("new", nargs="?", default=".", help="a commit; default: the files at hand")
    parser.add_argument("--cases", nargs="+", default=[], help="names of cases; default: all")
    parser.add_argument("--within", type=float, default=0.0, help="how much of its size a number may differ by")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shadownb-parity-") as folder, _trees(options.old, options.new) as trees:
        work = Path(folder)
        _make_bases(work)
        outcomes = [
            _run(tree, work, "straight", name, options.cases) for name, tree in zip(("old", "new"), trees, strict=True)
        ]
        begun = _run(trees[0], work, "begin", "handed-over", options.cases)
        ended = _run(trees[1], work, "resume", "handed-over", options.cases)
    print(f"\n{options.old} beside {'the files at hand' if options.new == '.' else options.new}")
    failed = _compare(*outcomes, options.within)
    failed += _compare_resumed(outcomes[0], begun, ended, options.within)
    print(f"\n{len(outcomes[0])} cases, {len(begun)} handed over in the middle; {failed} differ")
    sys.exit(1 if failed else 0)


@contextmanager
def _trees(*commits: str) -> Iterator[list[Path]]:
    """Check commits out into folders of their own; ``.`` is the tree that this file lies in."""
    with tempfile.TemporaryDirectory(prefix="shadownb-trees-") as folder:
        found: list[Path] = []
        try:
            for number, commit in enumerate(commits):
                tree = ROOT if commit == "." else Path(folder) / str(number)
                if commit != ".":
                    subprocess.run(
                        ["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", tree, commit], check=True
                    )
                found.append(tree)
            yield found
        finally:
            for tree in found:
                if tree != ROOT:
                    subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)


def _make_bases(work: Path) -> None:
    """Write the tiny bases once, so that both commits train the same."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny_models import biased, byte_llama

    biased(byte_llama(work / "plain"))
    (work / "plain-biased").rename(work / "biased")


def _run(tree: Path, work: Path, what: str, home: str, cases: Sequence[str]) -> dict[str, Any]:
    """Run cases with the package of a tree, and return what came out of each."""
    out = work / f"{what}-{home}.json"
    environment = {**os.environ, "PYTHONPATH": str(tree), "SHADOWNB_HOME": str(work / home)}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CI": "1", "SHADOWNB_PROGRESS": "0"}
    print(f"{what} {home} ...", flush=True)
    script = Path(__file__).with_name("_parity.py")
    subprocess.run([sys.executable, script, what, str(work), str(out), *cases], env=environment, cwd=work, check=True)
    return dict(json.loads(out.read_text(encoding="utf-8")))


def _compare(old: dict[str, Any], new: dict[str, Any], within: float) -> int:
    failed = 0
    for name, outcome in old.items():
        found = list(_differences(outcome, new.get(name), within))
        failed += bool(found)
        off = _losses_off(outcome, new.get(name)) if within else ""
        print(f"{'differs' if found else 'same':8} {name:28} {off}{'' if found else _summary(outcome)}")
        for line in found[:_SHOWN]:
            print(f"         {line}")
    return failed


def _losses_off(old: dict[str, Any], new: dict[str, Any] | None) -> str:
    pairs = list(zip(old.get("loss", []), (new or {}).get("loss", []), strict=False))
    off = [abs(a - b) / max(abs(a), abs(b), 1e-9) for a, b in pairs]
    return f"off by {off[0]:.0e}, at most {max(off):.0e}; " if off else ""


def _compare_resumed(straight: dict[str, Any], begun: dict[str, Any], ended: dict[str, Any], within: float) -> int:
    failed = 0
    for name, record in begun.items():
        found = [
            line
            for key in ("loss", "grad_norm", *([] if within else ["weights"]))
            for line in _differences(straight[name][key], ended.get(name, {}).get(key), within, key)
        ]
        failed += bool(found)
        where = f"begun by old, killed after step {record['steps']}, ended by new"
        print(f"{'differs' if found else 'same':8} {name:28} {where}")
        for line in found[:_SHOWN]:
            print(f"         {line}")
    return failed


def _differences(old: Any, new: Any, within: float, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if not (within and key == "weights"):
                yield from _differences(old.get(key), new.get(key), within, f"{where}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, within, f"{where}[{at}]")
    elif isinstance(old, float) and isinstance(new, float) and abs(old - new) <= within * max(abs(old), abs(new)):
        return
    elif old != new:
        yield f"{where}: {_short(old)} became {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."


def _summary(outcome: dict[str, Any]) -> str:
    if "error" in outcome:
        return f"refused: {outcome['error'][0][:70]}"
    return f"loss {outcome['loss'][0]:.6f} to {outcome['loss'][-1]:.6f}, {len(outcome['weights'])} tensors"


if __name__ == "__main__":
    main()
