"""The divergence is trl's, in loss and gradient, on every array library; of the likeliest tokens it is that of coarser ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from shadownb.engine.backends.torch.arrays import TorchOps
from shadownb.engine.objectives.teaching.divergence import LEAST, generalized_jsd
from shadownb.engine.objectives.teaching.teacher import narrowed
from tests import mlx
from tests.ports.toy_arrays import Array, ToyOps

BETAS = (0.0, 0.1, 0.5, 1.0)


def logits(seed: int, rows: int = 6, words: int = 8) -> torch.Tensor:
    return torch.randn(rows, words, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def naive(student: torch.Tensor, teacher: torch.Tensor, beta: float) -> torch.Tensor:
    """Equation 1 as it is written (trl#3043: the weights of the mixture belong to the right one each)."""
    p, q = student.softmax(-1), teacher.softmax(-1)
    if beta == 0:
        return (q * (q / p).log()).sum(-1)
    if beta == 1:
        return (p * (p / q).log()).sum(-1)
    m = (1 - beta) * p + beta * q
    return beta * (q * (q / m).log()).sum(-1) + (1 - beta) * (p * (p / m).log()).sum(-1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_it_is_trls_in_loss_and_gradient(beta: float, temperature: float) -> None:
    from trl.experimental.gkd import GKDTrainer

    student, other, teacher = logits(1).requires_grad_(), logits(1).requires_grad_(), logits(2)
    expected = GKDTrainer.generalized_jsd_loss(
        other[None], teacher[None], beta=beta, temperature=temperature, reduction="sum"
    )
    expected.backward()
    said = narrowed(teacher.log_softmax(-1).numpy(), [0] * 6, 0, temperature)
    told = torch.tensor(said.logs, dtype=torch.float64)
    ours = generalized_jsd(TorchOps(student.device), (student / temperature).log_softmax(-1), told, beta, tail=False)
    ours.sum().backward()
    assert float(ours.sum()) == pytest.approx(float(expected), rel=1e-6)
    torch.testing.assert_close(student.grad, other.grad, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours, naive(student / temperature, teacher / temperature, beta), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("kind", ["toy", "mlx"])
def test_other_arrays_have_the_same_gradients(kind: str, beta: float, tail: bool) -> None:
    student, teacher = logits(3).log_softmax(-1)[:, :5], logits(4).log_softmax(-1)[:, :5]
    start = student.clone().requires_grad_()
    generalized_jsd(TorchOps(start.device), start, teacher, beta, tail=tail).sum().backward()
    given: Any
    if kind == "toy":
        given = Array(student.numpy())
        total = ToyOps().sum(generalized_jsd(ToyOps(), given, Array(teacher.numpy()), beta, tail=tail))
        total.backward()
        found, tolerance = given.grad, 1e-9
    else:
        mlx.needed()
        found, tolerance = of_mlx(student.numpy(), teacher.numpy(), beta, tail), 2e-5
    np.testing.assert_allclose(found, start.grad.numpy(), rtol=tolerance, atol=tolerance)


def of_mlx(student: Any, teacher: Any, beta: float, tail: bool) -> Any:
    import mlx.core as mx

    from shadownb.engine.backends.mlx import worker
    from shadownb.engine.backends.mlx.arrays import MlxArray, MlxOps

    def there() -> Any:
        held = MlxArray(mx.array(teacher.astype(np.float32)))

        def loss(x: Any) -> Any:
            return MlxOps().sum(generalized_jsd(MlxOps(), MlxArray(x), held, beta, tail=tail)).value

        return np.array(mx.grad(loss)(mx.array(student.astype(np.float32))))

    return worker.run(there)


@pytest.mark.parametrize("beta", BETAS)
def test_of_the_likeliest_tokens_all_others_are_one_more(beta: float) -> None:
    student, teacher = logits(5), logits(6)
    said = narrowed(teacher.log_softmax(-1).numpy(), [1, 2, 3, 4, 5, 6], 3, 1.0)
    assert said.ids is not None
    assert [set(row) for row in said.ids] == [set(row) for row in teacher.topk(3).indices.tolist()]
    np.testing.assert_allclose(said.said, teacher.log_softmax(-1).numpy()[range(6), range(1, 7)])
    ids = torch.tensor(said.ids)

    def coarse(values: torch.Tensor) -> torch.Tensor:
        kept = values.softmax(-1).gather(1, ids)
        return torch.cat([kept, 1 - kept.sum(-1, keepdim=True)], -1).log()

    own = student.log_softmax(-1).gather(1, ids)
    ours = generalized_jsd(TorchOps(own.device), own, torch.tensor(said.logs).double(), beta, tail=True)
    torch.testing.assert_close(ours, naive(coarse(student), coarse(teacher), beta), rtol=1e-5, atol=1e-6)
    assert (ours <= naive(student, teacher, beta) + 1e-6).all(), "what is seen coarsely is never farther apart"


def test_a_student_that_goes_where_the_teacher_never_does_is_seen() -> None:
    """Without the other tokens it would be 0: the likeliest ones agree that nothing is left for them."""
    teacher = torch.tensor([[0.5, 0.5 - 1e-9]]).double().log()
    student = torch.tensor([[1e-6, 1e-6]]).double().log()
    found = generalized_jsd(TorchOps(teacher.device), student, teacher, 1.0, tail=True)
    assert float(found) == pytest.approx(-np.log(LEAST), rel=0.01)
