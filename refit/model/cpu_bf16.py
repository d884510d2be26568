"""Changes that make an encoder faster in bf16 on a CPU; in fp32 and on a GPU the model stays as it is."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from refit.model import device

EAGER_TOKENS = 256  # longer batches train with sdpa


def speed_up(model: PreTrainedModel, number: device.Format) -> None:
    """Make the changes to a model that computes in bf16 on a CPU.

    Each change names its speed-up of a complete training step with 32, 64, 128 and 256 tokens, when the others are
    made, on an AMD EPYC with AVX-512 bf16 (`python -m benchmarks.kernels --model models/base`).
    """
    if device.device().type != "cpu" or number != "bf16":
        return
    use_fast_dropout(model)
    embeddings = getattr(model.base_model, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        use_bf16_hidden_states(embeddings)
        use_eager_attention_in_training(model)  # only with bf16 hidden states: in fp32 it is slower than sdpa


def use_bf16_hidden_states(embeddings: nn.Module) -> None:
    """Convert the output of the embeddings to bf16, so that no layer has to: 1.03×, 1.10×, 1.21×, 1.41×.

    Weights, gradients and the optimizer stay in fp32.
    """
    embeddings.register_forward_hook(lambda module, inputs, output: output.to(torch.bfloat16))


def use_eager_attention_in_training(model: PreTrainedModel) -> None:
    """Train with transformers' eager attention where the model uses torch's sdpa: 1.24×, 1.35×, 1.39×, 1.20×.

    With 512 tokens sdpa is faster, and in inference it is at least as fast at every length and needs less memory.
    """
    if model.config._attn_implementation != "sdpa":
        return

    def choose(module: PreTrainedModel, args: Any, kwargs: Any) -> None:
        wanted = "eager" if module.training and kwargs["input_ids"].shape[1] <= EAGER_TOKENS else "sdpa"
        if module.config._attn_implementation != wanted:
            module.set_attn_implementation(wanted)

    model.register_forward_pre_hook(choose, with_kwargs=True)


def use_fast_dropout(model: nn.Module) -> None:
    """Replace every nn.Dropout by `Dropout`: 1.09×, 1.11×, 1.13×, 1.12×."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout) and child.p > 0:
                setattr(parent, name, Dropout(child.p))


class Dropout(nn.Module):
    """nn.Dropout with cheaper random numbers: four 16-bit numbers per 64-bit draw from torch's own generator.

    They are therefore seeded, saved and resumed with it. The rate is exact to 1/65536.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = round(p * 65536)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Zero a fraction p of the values and scale up the others, in training only."""
        if not self.training or self.threshold == 0:
            return hidden
        draws = torch.empty((hidden.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: hidden.numel()].view(hidden.shape)
        keep = (bits >= self.threshold - 32768).to(hidden.dtype)
        return hidden * keep.mul_(1 / (1 - self.threshold / 65536))
