"""The number format: what the machine supports, and what a model can compute in."""

from pathlib import Path

import pytest
import torch

from refit.errors import ParamsError
from refit.model import device
from refit.storage import files


def test_fp16_without_a_gpu_falls_back_with_a_warning(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents the full Yelp recipe from failing on a machine without a GPU, and a silent change of format."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert device.number_format("fp16", tiny_model) == device.number_format("auto", tiny_model)
    assert "fp16 needs a GPU" in capsys.readouterr().err


def test_slow_bf16_is_warned_about_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents runs that are needlessly 5 to 8 times slower without a warning."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert device.number_format("bf16", tiny_model) == "bf16"
    assert capsys.readouterr().err.count("precision: this CPU has no bf16 instructions") == 1
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert device.number_format("bf16", tiny_model) == "bf16"
    assert capsys.readouterr().err == ""


def test_a_model_that_overflows_in_16_bits_gets_fp32(tmp_path: Path) -> None:
    """Prevents a traceback from transformers' DeBERTa in the first step."""
    files.write_json(tmp_path / "config.json", {"model_type": "deberta"})
    assert device.number_format("auto", tmp_path) == device.number_format("fp32", tmp_path) == "fp32"
    with pytest.raises(ParamsError, match="precision: got bf16, but a deberta model"):
        device.number_format("bf16", tmp_path)
