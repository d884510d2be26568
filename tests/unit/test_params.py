"""params.yaml: how values are read and written; tests/faults/test_bad_input.py has the mistakes."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from refit import params


@pytest.mark.parametrize("written", ["2e-5", "2e-05", "2.0e-5", "0.00002", "2E-5", "+2e-5"])
def test_every_spelling_of_a_learning_rate_is_the_float(tmp_path: Path, written: str) -> None:
    """Prevents `dvc exp run -S lr=2e-5`, which DVC writes as 2e-05, from being read as text."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("lr: 1.0e-4", f"lr: {written}"))
    assert params.load(params.Train, path).lr == 2e-5


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
