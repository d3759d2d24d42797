"""Which number format each tensor of a file gets: llama.cpp's mixtures, in which what matters more keeps more bits.

The choices are those of its quantiser (``llama-quant.cpp``), compared with it in tests. A K-quant takes 256 numbers of a row at a
time, and a row that is no multiple of it falls back to a format of 32: of SmolLM2-135M, 576 wide, that are 180 of 272 tensors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import gguf

Type = gguf.GGMLQuantizationType
Kind = gguf.LlamaFileType

_BASE: dict[Kind, Type] = {
    Kind.ALL_F32: Type.F32, Kind.MOSTLY_F16: Type.F16, Kind.MOSTLY_BF16: Type.BF16, Kind.MOSTLY_Q8_0: Type.Q8_0,
    Kind.MOSTLY_Q6_K: Type.Q6_K, Kind.MOSTLY_Q5_K_M: Type.Q5_K, Kind.MOSTLY_Q5_K_S: Type.Q5_K, Kind.MOSTLY_Q4_K_M: Type.Q4_K,
    Kind.MOSTLY_Q4_K_S: Type.Q4_K, Kind.MOSTLY_Q3_K_L: Type.Q3_K, Kind.MOSTLY_Q3_K_M: Type.Q3_K, Kind.MOSTLY_Q3_K_S: Type.Q3_K,
    Kind.MOSTLY_Q2_K: Type.Q2_K, Kind.MOSTLY_Q5_0: Type.Q5_0, Kind.MOSTLY_Q5_1: Type.Q5_1, Kind.MOSTLY_Q4_0: Type.Q4_0,
    Kind.MOSTLY_Q4_1: Type.Q4_1, Kind.MOSTLY_IQ4_NL: Type.IQ4_NL, Kind.MOSTLY_IQ4_XS: Type.IQ4_XS, Kind.MOSTLY_IQ3_S: Type.IQ3_S,
    Kind.MOSTLY_IQ3_M: Type.IQ3_S,
}  # fmt: skip
_INSTEAD: dict[Type, Type] = {
    Type.IQ3_S: Type.IQ4_NL, Type.IQ4_XS: Type.IQ4_NL, Type.Q2_K: Type.Q4_0, Type.Q3_K: Type.Q4_0, Type.Q4_K: Type.Q5_0,
    Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0,
}  # fmt: skip
_WHOLE = (Kind.ALL_F32, Kind.MOSTLY_F16, Kind.MOSTLY_BF16, Kind.MOSTLY_Q8_0)
_IQ4 = (Kind.MOSTLY_IQ4_NL, Kind.MOSTLY_IQ4_XS)
_BLOCK = re.compile(r"^blk\.(\d+)\.(\w+)\.weight$")


@dataclass(frozen=True)
class Mixture:
    """The choices of one file.

    Attributes
    ----------
    layers
        How many the model has.
    shared_heads
        How many query heads use one key and value head.
    tied
        Whether the head reads the table of embeddings.
    weighted
        Whether an importance matrix weighs the errors.
    """

    kind: Kind
    layers: int
    shared_heads: int
    tied: bool
    weighted: bool = False

    def type_of(self, name: str, shape: tuple[int, ...]) -> Type:
        """Return the format of a tensor by its name in GGUF and its shape (rows, numbers of a row)."""
        if len(shape) < 2 or name.endswith("_norm.weight"):
            return Type.F32
        wanted = self._wanted(name, shape[-1])
        if shape[-1] % _block(wanted):
            wanted = _INSTEAD.get(wanted, wanted)
        return wanted if shape[-1] % _block(wanted) == 0 else Type.F16

    def _wanted(self, name: str, width: int) -> Type:
        base = _BASE[self.kind]
        if self.kind in _WHOLE:
            return base
        if name == "output.weight" or (self.tied and name == "token_embd.weight"):
            return Type.Q8_0 if width % _block(base) else Type.Q6_K
        found = _BLOCK.match(name)
        if found is None:
            return base
        layer, role = int(found[1]), found[2]
        choose = {"attn_v": self._values, "ffn_down": self._down, "attn_output": self._output}.get(role)
        return base if choose is None else choose(layer) or base

    def _more_bits(self, layer: int) -> bool:
        eighth = self.layers // 8
        return layer < eighth or layer >= 7 * self.layers // 8 or (layer - eighth) % 3 == 2

    def _values(self, layer: int) -> Type | None:
        many = self.shared_heads >= 4
        match self.kind:
            case Kind.MOSTLY_Q2_K:
                return Type.Q4_K if many else Type.Q3_K
            case Kind.MOSTLY_Q3_K_M:
                return Type.Q5_K if layer < 2 else Type.Q4_K
            case Kind.MOSTLY_Q3_K_L:
                return Type.Q5_K
            case Kind.MOSTLY_IQ3_M:
                return Type.Q4_K
            case Kind.MOSTLY_IQ3_S:
                return Type.Q4_K if many else None
            case Kind.MOSTLY_Q4_K_M | Kind.MOSTLY_Q5_K_M:
                return Type.Q6_K if self._more_bits(layer) else None
            case Kind.MOSTLY_Q4_K_S:
                return Type.Q5_K if layer < 4 else None
        return Type.Q5_K if self.kind in _IQ4 and many else None

    def _down(self, layer: int) -> Type | None:
        early = layer < self.layers // 8
        match self.kind:
            case Kind.MOSTLY_Q2_K:
                return Type.Q3_K
            case Kind.MOSTLY_Q3_K_M:
                return Type.Q5_K if layer < self.layers // 16 else Type.Q4_K
            case Kind.MOSTLY_Q3_K_L:
                return Type.Q5_K
            case Kind.MOSTLY_IQ3_M:
                return Type.Q4_K if early else None
            case Kind.MOSTLY_Q4_K_M | Kind.MOSTLY_Q5_K_M:
                return Type.Q6_K if self._more_bits(layer) else None
            case Kind.MOSTLY_Q4_K_S:
                return Type.Q5_K if early else None
            case Kind.MOSTLY_Q4_0 | Kind.MOSTLY_Q5_0 if early and self.weighted:
                return Type.Q4_1 if self.kind is Kind.MOSTLY_Q4_0 else Type.Q5_1
        return Type.Q5_K if self.kind in _IQ4 and early and not self.weighted else None

    def _output(self, _: int) -> Type | None:
        chosen = {
            Kind.MOSTLY_Q2_K: Type.Q3_K, Kind.MOSTLY_Q3_K_M: Type.Q4_K, Kind.MOSTLY_Q3_K_L: Type.Q5_K,
            Kind.MOSTLY_IQ3_M: Type.Q4_K,
        }  # fmt: skip
        return chosen.get(self.kind)


def _block(kind: Type) -> int:
    return gguf.GGML_QUANT_SIZES[kind][0]
