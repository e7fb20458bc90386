"""Muon: momentum whose update of each weight matrix is made orthogonal (K. Jordan and others, 2024).

It learns this model's corpus in fewer steps than AdamW alone. In float32, as CPUs without bfloat16 units are slow
at the reduced precision of torch's own.
"""

from collections.abc import Iterable
from typing import Any

import torch

__all__ = ["Muon"]

# A quintic whose iteration drives all singular values to about one; the authors' coefficients.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest semi-orthogonal matrix (Newton-Schulz, five iterations)."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Nesterov momentum 0.95 and decoupled weight decay; the step is scaled to the size of AdamW's."""

    def __init__(
        self, matrices: Iterable[torch.Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self, closure: None = None) -> None:  # noqa: ARG002 - the base class has it
        """Update every matrix from its gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                for matrix in group["params"]:
                    self._update(matrix, group)

    def _update(self, matrix: torch.Tensor, group: dict[str, Any]) -> None:
        velocity = self.state[matrix].setdefault("velocity", torch.zeros_like(matrix))
        velocity.lerp_(matrix.grad, 1 - group["momentum"])
        update = orthogonal(matrix.grad.lerp(velocity, group["momentum"]))
        scale = 0.2 * max(matrix.shape) ** 0.5
        matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)
