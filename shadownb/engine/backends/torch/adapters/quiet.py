"""What peft and torch say of things that they do themselves, and that nobody who trains an adapter could mend."""

from __future__ import annotations

import warnings


def libraries() -> None:
    """Filter it for good: ``catch_warnings`` is not safe beside other threads."""
    # peft asks by a name that transformers 5 renamed.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # torch says so at SHiRA's first sparse matrix, whose indices peft makes itself.
    warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled", category=UserWarning)
    # peft writes this pattern for experts when it translates an adapter of an older layout, and then looks for it among
    # modules alone, though it holds for the tensors.
    pattern = r"The following (rank|alpha)_pattern keys .*gate_up_proj'\]\."
    warnings.filterwarnings("ignore", message=pattern, category=RuntimeWarning)
