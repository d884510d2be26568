"""params.yaml: how numbers are read, and what a stage gets; tests/faults/test_bad_input.py has the mistakes."""

from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from refit import params
from refit.errors import ParamsError


def changed(folder: Path, old: str, new: str) -> Path:
    """The committed params.yaml with one text replaced."""
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize("written", ["2e-5", "2e-05", "2.0e-5", "0.00002", "2E-5", "+2e-5"])
def test_every_spelling_of_a_learning_rate_is_the_float(tmp_path: Path, written: str) -> None:
    """Prevents `dvc exp run -S lr=2e-5`, which DVC writes as 2e-05, from arriving as text."""
    path = changed(tmp_path, "lr: 2.0e-4", f"lr: {written}")
    assert params.load(params.Train, path).lr == 2e-5


@given(st.floats(min_value=1e-12, max_value=1, allow_nan=False))
def test_any_learning_rate_that_dvc_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, lr: float) -> None:
    """Prevents a rate that is read differently from how DVC's own library wrote it."""
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    values["lr"] = lr
    yaml.dump(values, path)
    assert params.load(params.Train, path).lr == lr


def test_a_stage_sees_its_own_fields_alone() -> None:
    """Prevents a stage from reading a value that DVC does not track for it."""
    assert set(params.load(params.Sample, ROOT / "params.yaml").model_dump()) == set(params.Sample.model_fields)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """Prevents a default in code that params.yaml does not show."""
    with pytest.raises(ParamsError, match="key task is missing; need text"):
        params.load(params.Train, changed(tmp_path, "task: movie_stars ", ""))
