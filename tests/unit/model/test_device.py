"""The number format: what the machine has, and what a model can compute in."""

from pathlib import Path

import pytest
import torch

from refit.errors import ParamsError
from refit.model import device
from refit.storage import files


def test_fp16_without_a_gpu_falls_back_aloud(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents the full Yelp recipe from failing on a machine without a GPU, and from changing format in silence."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert device.number_format("fp16", tiny_model) == device.number_format("auto", tiny_model)
    assert "fp16 needs a GPU" in capsys.readouterr().err


def test_slow_bf16_is_warned_about_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents runs that are 5 to 8 times slower than they need to be, without a word."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert device.number_format("bf16", tiny_model) == "bf16"
    assert capsys.readouterr().err == (
        "precision: this CPU has no bf16 instructions: bf16 is 5 to 8 times slower than fp32 here; "
        "set precision: auto\n"
    )
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert device.number_format("bf16", tiny_model) == "bf16"
    assert capsys.readouterr().err == ""


def test_a_model_that_overflows_in_the_short_formats_has_fp32(tmp_path: Path) -> None:
    """Prevents a traceback out of transformers' DeBERTa in the first step."""
    files.write_json(tmp_path / "config.json", {"model_type": "deberta"})
    assert device.number_format("auto", tmp_path) == device.number_format("fp32", tmp_path) == "fp32"
    with pytest.raises(ParamsError, match="precision: got bf16, but a deberta model computes in fp32 alone; need auto"):
        device.number_format("bf16", tmp_path)
