"""The parts of an encoder that a CPU computes slowly in bf16, written so that it computes them fast.

Three changes, made to a model when it runs in bf16 on a CPU, and only then: in fp32 the library's own kernels stay, and
with them the notebook's numbers to the last digit that counts.

- Attention: torch's fused CPU kernel is slower than plain matrix products on texts of usual lengths. Short batches are
  one batched product; longer ones go row by row without their padding, so that a row's scores stay in the cache.
- Dropout: its random numbers are drawn 16 bits at a time out of 64-bit draws of torch's own generator, so they are
  seeded, saved and resumed with it. The rate is exact to 1/65536.
- The hidden states between the layers are kept in bf16 too, so that every layer does not convert them back and forth.
  Weights, gradients and the optimizer stay in fp32.
"""

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from refit.model import device

NAME = "refit_cpu"
BATCHED_WIDTH = 64  # up to this many tokens one batched product is faster than one a row


def install(model: PreTrainedModel, number: device.Format) -> None:
    """Give a model the kernels of this module when it computes in bf16 on a CPU."""
    if device.device().type != "cpu" or number != "bf16":
        return
    use_fast_attention(model)
    use_fast_dropout(model)
    use_bf16_hidden_states(model)


def use_fast_attention(model: PreTrainedModel) -> None:
    """Replace torch's attention kernel, where the model uses it, by `attention`."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def use_fast_dropout(model: nn.Module) -> None:
    """Replace every nn.Dropout by `Dropout`."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout) and child.p > 0:
                setattr(parent, name, Dropout(child.p))


def use_bf16_hidden_states(model: PreTrainedModel) -> None:
    """Convert the output of the embeddings to bf16, so that the layers compute in it."""
    embeddings = getattr(model.base_model, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        embeddings.register_forward_hook(lambda module, inputs, output: output.to(torch.bfloat16))


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' interface.

    query, key and value are (rows, heads, tokens, size), the answer is (rows, tokens, heads, size).

    Whatever is not plain self-attention over padding on the right (causal or windowed masks, biases, dropout of the
    weights, grouped heads) is left to torch's own kernel.
    """
    lengths = _right_padded_lengths(attention_mask, query)
    is_plain = query.dtype == torch.bfloat16 and query.shape == key.shape == value.shape and dropout == 0.0
    if (
        lengths is None
        or not is_plain
        or getattr(module, "is_causal", False)
        or kwargs.get("position_bias") is not None
    ):
        result, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result, None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.shape[2] <= BATCHED_WIDTH:
        output = _Batched.apply(query, key, value, attention_mask, scale)  # type: ignore[no-untyped-call]
    else:
        output = _RowByRow.apply(query, key, value, lengths, scale)  # type: ignore[no-untyped-call]
    return output.transpose(1, 2).contiguous(), None


class Dropout(nn.Module):
    """nn.Dropout with cheaper random numbers."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = round(p * 65536)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Zero a share p of the values and scale the others up, in training alone."""
        if not self.training or self.threshold == 0:
            return hidden
        draws = torch.empty((hidden.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: hidden.numel()].view(hidden.shape)
        keep = (bits >= self.threshold - 32768).to(hidden.dtype)
        return hidden * keep.mul_(1 / (1 - self.threshold / 65536))


class _Batched(torch.autograd.Function):
    """softmax(query · keyᵀ) · value for all rows and heads in one product each way."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
    ) -> torch.Tensor:
        rows, heads, tokens, size = query.shape
        scaled = (query * scale).reshape(-1, tokens, size)
        key, value = key.reshape(-1, tokens, size), value.reshape(-1, tokens, size)
        scores = torch.bmm(scaled, key.transpose(1, 2)).view(rows, heads, tokens, tokens)
        if mask is not None:
            scores.masked_fill_(~mask, float("-inf"))
        weights = torch.softmax(scores, -1).view(-1, tokens, tokens)
        ctx.save_for_backward(scaled, key, value, weights)
        ctx.scale = scale
        return torch.bmm(weights, value).view(rows, heads, tokens, size)

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled, key, value, weights = ctx.saved_tensors
        shape = outputs[0].shape
        gradients = _backward(outputs[0].reshape(scaled.shape), scaled, key, value, weights)
        return gradients[0].mul_(ctx.scale).view(shape), gradients[1].view(shape), gradients[2].view(shape), None, None


class _RowByRow(torch.autograd.Function):
    """The same for one row after the other, its padding left out; the output at padding is zero."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scale: float
    ) -> torch.Tensor:
        scaled = query * scale
        output = torch.zeros(query.shape, dtype=query.dtype)
        every_weights = []
        for row, length in enumerate(lengths):
            weights = torch.softmax(torch.bmm(scaled[row, :, :length], key[row, :, :length].transpose(1, 2)), -1)
            output[row, :, :length] = torch.bmm(weights, value[row, :, :length])
            every_weights.append(weights)
        ctx.save_for_backward(scaled, key, value, *every_weights)
        ctx.lengths, ctx.scale = lengths, scale
        return output

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled, key, value, *every_weights = ctx.saved_tensors
        gradients = [torch.zeros(scaled.shape, dtype=scaled.dtype) for _ in range(3)]
        for row, (length, weights) in enumerate(zip(ctx.lengths, every_weights, strict=True)):
            own = [part[row, :, :length] for part in (outputs[0], scaled, key, value)]
            found = _backward(own[0], own[1], own[2], own[3], weights)
            for gradient, part in zip(gradients, found, strict=True):
                gradient[row, :, :length] = part
        return gradients[0].mul_(ctx.scale), gradients[1], gradients[2], None, None


def _backward(
    output: torch.Tensor, scaled: torch.Tensor, key: torch.Tensor, value: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of softmax(scaled · keyᵀ) · value by scaled, key and value, from that of its output."""
    by_value = torch.bmm(weights.transpose(1, 2), output)
    by_weights = torch.bmm(output, value.transpose(1, 2))
    by_scores = torch._softmax_backward_data(by_weights, weights, -1, weights.dtype)
    return torch.bmm(by_scores, key), torch.bmm(by_scores.transpose(1, 2), scaled), by_value


def _right_padded_lengths(mask: torch.Tensor | None, query: torch.Tensor) -> list[int] | None:
    """The tokens of each row when every query sees just the first so many keys; None for any other mask."""
    rows, _, tokens, _ = query.shape
    if mask is None:
        return [tokens] * rows
    if mask.dtype != torch.bool or mask.shape[-2:] != (tokens, tokens):
        return None
    first = mask[:, 0, 0]
    lengths = first.sum(-1)
    is_prefix = torch.equal(first, torch.arange(tokens) < lengths[:, None])
    is_shared = torch.equal(first, mask[:, 0, -1]) and torch.equal(first, mask[:, 0, tokens // 2])
    return [int(length) for length in lengths.tolist()] if is_prefix and is_shared else None
