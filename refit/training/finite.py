"""Training that stops at the first number that is not finite, before it reaches the weights.

The Trainer's own filter replaces such a loss in the log by the mean of those before it, and trains on.
"""

import math
from typing import Any

import torch
from transformers import Trainer

from refit.errors import TrainingDivergedError


class FiniteOnly(Trainer):  # type: ignore[misc]
    """Raises TrainingDivergedError at a loss, a gradient or a validation loss that is NaN or infinite."""

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One forward and backward pass."""
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        if not torch.isfinite(loss):
            self._give_up(f"the loss is {loss.item()}", self.state.global_step + 1)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The validation loss and scores."""
        measured: dict[str, float] = super().evaluate(*args, **kwargs)
        loss = measured.get("eval_loss", 0.0)
        if not math.isfinite(loss):
            self._give_up(f"the validation loss is {loss}", self.state.global_step)
        return measured

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The norm that the Trainer logs, taken before every step; fp16's loss scaling skips bad steps by itself."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self.accelerator.scaler is None and not math.isfinite(float(norm)):
            self._give_up(f"the gradient's norm is {float(norm)}", self.state.global_step + 1)
        return norm

    def _give_up(self, what: str, step: int) -> None:
        raise TrainingDivergedError(f"training diverged at step {step}: {what} (lr {self._get_learning_rate():g})")
