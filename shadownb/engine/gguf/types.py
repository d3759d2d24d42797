"""Number formats of a GGUF file: names of its kinds as people write them, and what the numbers in a file mean."""

from __future__ import annotations

import gguf

from shadownb.errors import ExportError, did_you_mean

# What a file is asked to be, by llama.cpp's names; the number is written into it. Those below Q2_K want an importance matrix.
KINDS: dict[str, gguf.LlamaFileType] = {
    kind.name.removeprefix("MOSTLY_").removeprefix("ALL_").lower(): kind
    for kind in (
        gguf.LlamaFileType.ALL_F32, gguf.LlamaFileType.MOSTLY_F16, gguf.LlamaFileType.MOSTLY_BF16,
        gguf.LlamaFileType.MOSTLY_Q8_0, gguf.LlamaFileType.MOSTLY_Q6_K, gguf.LlamaFileType.MOSTLY_Q5_K_M,
        gguf.LlamaFileType.MOSTLY_Q5_K_S, gguf.LlamaFileType.MOSTLY_Q4_K_M, gguf.LlamaFileType.MOSTLY_Q4_K_S,
        gguf.LlamaFileType.MOSTLY_Q3_K_L, gguf.LlamaFileType.MOSTLY_Q3_K_M, gguf.LlamaFileType.MOSTLY_Q3_K_S,
        gguf.LlamaFileType.MOSTLY_Q2_K, gguf.LlamaFileType.MOSTLY_Q5_0, gguf.LlamaFileType.MOSTLY_Q5_1,
        gguf.LlamaFileType.MOSTLY_Q4_0, gguf.LlamaFileType.MOSTLY_Q4_1, gguf.LlamaFileType.MOSTLY_IQ4_NL,
        gguf.LlamaFileType.MOSTLY_IQ4_XS, gguf.LlamaFileType.MOSTLY_IQ3_S, gguf.LlamaFileType.MOSTLY_IQ3_M,
    )
}  # fmt: skip


def kind_of(quant: str) -> gguf.LlamaFileType:
    """Return the kind of file that ``quant=`` asks for.

    Raises
    ------
    ExportError
        There is none of that name.
    """
    found = KINDS.get(str(quant).lower().replace("-", "_"))
    if found is None:
        raise ExportError(
            f"quant={quant!r} is not a format of GGUF.{did_you_mean(str(quant).lower(), tuple(KINDS))}",
            fix=f"Use one of {', '.join(KINDS)}.",
        )
    return found


def file_type(said: str | None) -> str:
    """Return what ``general.file_type`` of a file says, in the words of :data:`KINDS`; ``gguf`` where it says nothing known."""
    try:
        name = gguf.LlamaFileType(int(said or "")).name
    except ValueError:
        return "gguf"
    return name.removeprefix("MOSTLY_").removeprefix("ALL_").lower()
