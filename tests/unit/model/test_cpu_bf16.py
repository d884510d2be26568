"""The changes for bf16 on a CPU: the model computes the same, and is left alone elsewhere."""

from pathlib import Path

import pytest
import torch
from made_runs import task_record
from transformers import PreTrainedModel

from refit.model import classifier, cpu_bf16, device

TASK = task_record(labels=["no", "yes"])
IDS = torch.randint(5, 60, (4, 50), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(50) < torch.tensor([50, 30, 7, 2])[:, None]).long()


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a GPU of this machine from being used."""
    monkeypatch.setattr(device, "device", lambda: torch.device("cpu"))


def logits_and_gradient(model: PreTrainedModel, number: device.Format) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of four padded examples, and the gradient of the first layer's query weights."""
    with device.autocast(number):
        logits = model(input_ids=IDS, attention_mask=MASK).logits.float()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    return logits.detach(), model.bert.encoder.layer[0].attention.self.query.weight.grad


@pytest.mark.parametrize("training", [True, False])
def test_logits_and_gradients_are_those_of_fp32(tiny_model: Path, training: bool) -> None:
    """Prevents a faster model that learns or predicts something else than bf16's rounding explains."""
    found = []
    for number in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = classifier.new(tiny_model, TASK, 0.0).train(training)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        cpu_bf16.speed_up(model, number)  # type: ignore[arg-type]
        found.append(logits_and_gradient(model, number))  # type: ignore[arg-type]
        in_training = "eager" if number == "bf16" else "sdpa"
        assert model.config._attn_implementation == (in_training if training else "sdpa")
    (logits, gradient), (fast_logits, fast_gradient) = found
    assert torch.allclose(fast_logits, logits, atol=0.02)
    assert torch.allclose(fast_gradient, gradient, atol=0.05 * gradient.abs().max().item())


def test_in_fp32_nothing_changes(tiny_model: Path) -> None:
    """Prevents the faithful recipes from leaving the notebook's numbers."""
    plain, same = (classifier.new(tiny_model, TASK, 0.0).eval() for _ in range(2))
    same.load_state_dict(plain.state_dict())
    cpu_bf16.speed_up(same, "fp32")
    assert torch.equal(logits_and_gradient(same, "fp32")[0], logits_and_gradient(plain, "fp32")[0])


def test_long_examples_train_with_sdpa(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents eager attention where it is the slower one."""
    model = classifier.new(tiny_model, TASK, 0.0).train()
    cpu_bf16.speed_up(model, "bf16")
    monkeypatch.setattr(cpu_bf16, "EAGER_TOKENS", 20)
    for tokens, expected in ((20, "eager"), (21, "sdpa"), (20, "eager")):
        with device.autocast("bf16"):
            model(input_ids=torch.ones((1, tokens), dtype=torch.int64))
        assert model.config._attn_implementation == expected


def test_dropout_has_its_rate_and_keeps_the_mean() -> None:
    """Prevents a dropout rate other than the model's."""
    torch.manual_seed(0)
    dropped = cpu_bf16.Dropout(0.1).train()(torch.ones(1001, 997))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.002)
    ones = torch.ones(5)
    assert cpu_bf16.Dropout(0.1).eval()(ones) is ones


def test_dropout_is_drawn_from_torchs_generator() -> None:
    """Prevents a resumed run from dropping other values."""
    layer = cpu_bf16.Dropout(0.5).train()
    state = torch.get_rng_state()
    first = layer(torch.ones(100))
    assert not torch.equal(layer(torch.ones(100)), first)
    torch.set_rng_state(state)
    assert torch.equal(layer(torch.ones(100)), first)
