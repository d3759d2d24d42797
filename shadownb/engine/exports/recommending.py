"""Which of several files to take: the smallest whose loss nobody would notice on the task, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence

from shadownb.engine.exports.quality import Quality

KL_LIMIT = (
    0.05  # nats a token, chosen and not measured: Q4_K_M of the shipped task's model has 0.003 (benchmarks/export.py)
)
TOP1_LIMIT = 0.95


def recommended(files: Sequence[Quality]) -> tuple[Quality | None, str]:
    """Return the file to take and the reason in sentences; (None, why) where none can be recommended."""
    known = [each for each in files if each.kl is not None]
    if not known:
        return None, "Nothing was measured, so nothing is recommended: give rows that were held out (dataset=)."
    good = [each for each in known if _is_good(each)]
    if not good:
        best = min(known, key=lambda each: each.kl or 0.0)
        return best, (
            f"{best.name} is the closest to the model (KL {best.kl:.3g}), and yet further away than {KL_LIMIT:g}: "
            "its answers differ from the model's. A larger format would be closer."
        )
    chosen = min(good, key=lambda each: each.size)
    parts = [
        f"{chosen.name}: {chosen.size / 1e6:,.0f} MB, {_words(chosen)}; the smallest that stays close to the model."
    ]
    for other in known:
        if other is chosen:
            continue
        if worse := _beaten_by(other, known):
            parts.append(
                f"{other.name} is larger than {worse.name} and worse (KL {other.kl:.3g} against {worse.kl:.3g}){_why(other)}."
            )
        elif not _is_good(other):
            parts.append(f"{other.name} is smaller, but {_words(other)}.")
    return chosen, " ".join(parts)


def _is_good(each: Quality) -> bool:
    if each.difference is not None and each.difference.high < 0:
        return False
    return (each.kl or 0.0) <= KL_LIMIT and (each.top1 or 0.0) >= TOP1_LIMIT


def _beaten_by(each: Quality, others: Sequence[Quality]) -> Quality | None:
    better = [other for other in others if other.size < each.size and (other.kl or 0.0) < (each.kl or 0.0)]
    return min(better, key=lambda other: other.kl or 0.0) if better else None


def _words(each: Quality) -> str:
    said = f"KL {each.kl:.3g}, the same likeliest token in {100 * (each.top1 or 0):.1f} %"
    if each.difference is not None:
        said += f", score {each.difference}"
    return said


def _why(each: Quality) -> str:
    whole = sum(count for name, count in each.types.items() if name != "f32")
    other = sum(count for name, count in each.types.items() if name != "f32" and not name.endswith("_k"))
    if "_k" not in each.name or 2 * other < whole:
        return ""
    return f": rows of this model are no multiple of 256, so {other} of {whole} tensors are in another format"
