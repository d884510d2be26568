"""The fast CPU kernels: the same answers as torch's own, and nothing taken on that they cannot do."""

from pathlib import Path

import pytest
import torch
from made_runs import task_record
from torch.nn.functional import scaled_dot_product_attention

from refit.model import classifier, cpu_kernels, device

TASK = task_record()


def inputs(tokens: int, *, seed: int = 0) -> list[torch.Tensor]:
    """query, key and value of three rows and four heads."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, tokens, 16, generator=generator).to(torch.bfloat16).requires_grad_() for _ in range(3)]


def padding(tokens: int, lengths: list[int]) -> torch.Tensor:
    """The mask that transformers makes of padding on the right."""
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    return mask[:, None, None, :].expand(-1, 1, tokens, tokens)


@pytest.mark.parametrize("tokens", [cpu_kernels.BATCHED_WIDTH // 2, cpu_kernels.BATCHED_WIDTH * 2])
def test_attention_and_its_gradients_are_those_of_torch(tokens: int) -> None:
    """Prevents a faster model that learns something else."""
    lengths = [tokens, tokens // 2, 3]
    mask = padding(tokens, lengths)
    given = inputs(tokens)
    output, _ = cpu_kernels.attention(torch.nn.Module(), *given, mask, scaling=0.25)
    exact = [tensor.detach().double().requires_grad_() for tensor in given]
    expected = scaled_dot_product_attention(*exact, attn_mask=mask, scale=0.25).transpose(1, 2)
    seen = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    assert torch.allclose(output[seen].double(), expected[seen], atol=0.02)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)) * seen[:, :, None, None]
    (output * weight).sum().backward()
    (expected * weight.double()).sum().backward()
    for ours, theirs in zip(given, exact, strict=True):
        assert torch.allclose(ours.grad.double(), theirs.grad, atol=0.06), tokens


@pytest.mark.parametrize("kind", ["causal", "window", "left", "dropout", "fp32"])
def test_what_is_not_plain_is_left_to_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a window, a causal mask or left padding from being ignored."""
    asked = []
    monkeypatch.setattr(cpu_kernels, "sdpa_attention_forward", lambda *a, **k: (asked.append(kind), None))
    tokens, module, dropout = 80, torch.nn.Module(), 0.0
    mask = padding(tokens, [80, 40, 3]).clone()
    given = inputs(tokens)
    if kind == "causal":
        module.is_causal = True  # type: ignore[assignment]
    if kind == "window":
        mask &= (torch.arange(tokens)[:, None] - torch.arange(tokens)).abs() < 10
    if kind == "left":
        mask = mask.flip(-1)
    if kind == "dropout":
        dropout = 0.1
    if kind == "fp32":
        given = [tensor.float() for tensor in given]
    cpu_kernels.attention(module, *given, mask, dropout=dropout)
    assert asked == [kind]


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    """Prevents another rate than the model's."""
    torch.manual_seed(0)
    dropped = cpu_kernels.Dropout(0.1).train()(torch.ones(1001, 997))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.002)
    ones = torch.ones(5)
    assert cpu_kernels.Dropout(0.1).eval()(ones) is ones


def test_dropout_is_drawn_from_torchs_generator() -> None:
    """Prevents a resumed run from dropping other values."""
    layer = cpu_kernels.Dropout(0.5).train()
    torch.manual_seed(3)
    first = layer(torch.ones(100))
    state = torch.get_rng_state()
    second = layer(torch.ones(100))
    torch.set_rng_state(state)
    assert torch.equal(layer(torch.ones(100)), second)
    torch.manual_seed(3)
    assert torch.equal(layer(torch.ones(100)), first)


def test_a_model_with_the_kernels_answers_as_without(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents predictions that depend on the kernels beyond bf16's rounding."""
    monkeypatch.setattr(device, "device", lambda: torch.device("cpu"))
    plain, fast = (classifier.new(tiny_model, TASK, "model").eval() for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    cpu_kernels.install(fast, "bf16")
    assert fast.config._attn_implementation == cpu_kernels.NAME
    ids = torch.randint(5, 60, (4, 50), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(50) < torch.tensor([50, 30, 7, 2])[:, None]).long()
    with torch.inference_mode():
        exact = plain(input_ids=ids, attention_mask=mask).logits
        with device.autocast("bf16"):
            ours = fast(input_ids=ids, attention_mask=mask).logits.float()
    assert torch.allclose(ours, exact, atol=0.02)


def test_in_fp32_a_model_is_left_alone(tiny_model: Path) -> None:
    """Prevents the faithful recipes from leaving the notebook's numbers."""
    model = classifier.new(tiny_model, TASK, "model")
    cpu_kernels.install(model, "fp32")
    assert model.config._attn_implementation == "sdpa"
    assert not any(isinstance(module, cpu_kernels.Dropout) for module in model.modules())
