"""params.yaml: how values are read and written; tests/faults/test_bad_input.py has the mistakes."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, change_params
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from refit import params
from refit.errors import ParamsError


@pytest.mark.parametrize("written", ["2e-5", "2e-05", "2.0e-5", "0.00002", "2E-5", "+2e-5"])
def test_every_spelling_of_a_learning_rate_is_the_float(tmp_path: Path, written: str) -> None:
    """Prevents `dvc exp run -S lr=2e-5`, which DVC writes as 2e-05, from being read as text."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("lr: 2.0e-4", f"lr: {written}"))
    assert params.load(params.Train, path).lr == 2e-5


@given(st.floats(min_value=1e-12, max_value=1, allow_nan=False))
def test_any_learning_rate_that_dvc_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, lr: float) -> None:
    """Prevents a rate from being read as another number than DVC's YAML library wrote."""
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    change_params(path, lr=lr)
    assert params.load(params.Train, path).lr == lr


def test_a_stage_gets_only_its_own_fields() -> None:
    """Prevents a stage from reading a value that DVC does not track for it."""
    assert set(params.load(params.Sample, ROOT / "params.yaml").model_dump()) == set(params.Sample.model_fields)


@pytest.mark.parametrize(
    "value",
    [True, False, None, 3, 2e-05, 1e-07, "linear", [1, 2.5, "a"], {}, {"betas": [0.9, 0.98], "fused": True},
     {"fsdp": True, "fsdp_config": {"min_num_params": 0}}],
    ids=str,
)  # fmt: skip
def test_a_formatted_value_is_read_back(value: Any) -> None:
    """Prevents a value on a page or in `dvc exp run -S` that means something else in params.yaml."""
    assert YAML(typ="safe").load(params.formatted(value)) == value


def test_all_problems_are_in_one_message_with_their_lines(tmp_path: Path) -> None:
    """Prevents fixing one mistake only to be told of the next, and an error without the line to edit."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    change_params(path, lr="fast", batch_size=1e23, num_train_epochs=3, search={"trials": 0})
    lines = path.read_text().splitlines()
    with pytest.raises(ParamsError, match="4 problems") as error:
        params.load(params.Sample, path)
    for start, got in (("lr", "'fast' (text)"), ("batch_size", "1e+23 (number)"), ("search", "0 (whole number)")):
        line = next(number for number, text in enumerate(lines, 1) if text.startswith(f"{start}:"))
        assert f"params.yaml:{line} {start}" in str(error.value)
        assert f"got {got}" in str(error.value)
    assert "num_train_epochs; did you mean epochs?" in str(error.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """Prevents a default in code that params.yaml does not show."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("task: movie_stars ", "", 1))
    with pytest.raises(ParamsError, match="key task is missing; need text"):
        params.load(params.Train, path)
