"""How far a student's distribution of the next token is from its teacher's: the generalised Jensen-Shannon divergence.

Agarwal et al. (2024), "On-Policy Distillation of Language Models", equation 1. With the mixture ``m`` of ``beta`` parts teacher and
``1 - beta`` parts student it is ``beta * KL(teacher | m) + (1 - beta) * KL(student | m)``. At the ends, where that would be 0, it
is what it tends to once it is scaled: KL(teacher | student) for beta 0 and KL(student | teacher) for beta 1, as in trl's
``generalized_jsd_loss``, with which tests compare loss and gradient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.objectives.arrays import Ops

# In 32 bits a sum of a hundred probabilities is off by about as much, and what is left of 1 is no number below that.
LEAST = 1e-6


def generalized_jsd(ops: Ops[Any], student: Any, teacher: Any, beta: float, *, tail: bool) -> Any:
    """Return the divergence of each token in nats, shape (N,).

    Parameters
    ----------
    student, teacher
        Log-probabilities of the same tokens, both (N, k).
    tail
        Whether there are other tokens: then all of them together count as one more, so that a student who goes for what the
        teacher would never say is seen.
    """
    found = ops.sum(_terms(ops, student, teacher, beta), axis=1)
    return found + _terms(ops, rest(ops, student), rest(ops, teacher), beta) if tail else found


def rest(ops: Ops[Any], logs: Any) -> Any:
    """Return the log-probability of all tokens but those given: (N, k) to (N,)."""
    return ops.log(ops.clip(1.0 - ops.sum(ops.exp(logs), axis=1), LEAST, None))


def _terms(ops: Ops[Any], student: Any, teacher: Any, beta: float) -> Any:
    if beta == 0:
        return ops.exp(teacher) * (teacher - student)
    if beta == 1:
        return ops.exp(student) * (student - teacher)
    of_student, of_teacher = student + math.log1p(-beta), teacher + math.log(beta)
    mixed = of_student - ops.log_sigmoid(of_student - of_teacher)  # log(e^a + e^b) = a - log(sigmoid(a - b))
    return beta * ops.exp(teacher) * (teacher - mixed) + (1 - beta) * ops.exp(student) * (student - mixed)
