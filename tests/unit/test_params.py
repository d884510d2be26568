"""params.yaml: what is read, what is refused, and in which words."""

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
    """Prevents a rate whose YAML form we read otherwise than DVC's own library wrote it."""
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    values["lr"] = lr
    yaml.dump(values, path)
    assert params.load(params.Train, path).lr == lr


def test_a_stage_sees_its_own_fields_alone() -> None:
    """Prevents a stage from reading a value that DVC does not track for it."""
    assert set(params.load(params.Sample, ROOT / "params.yaml").model_dump()) == set(params.Sample.model_fields)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """Prevents mending one mistake only to be told of the next."""
    path = changed(tmp_path, "lr: 2.0e-4", "lr: fast")
    path.write_text(path.read_text().replace("epochs: 3", "epochs: 0"))
    with pytest.raises(ParamsError) as error:
        params.load(params.Sample, path)
    assert "lr: got 'fast' (text), need a number, 0 < lr <= 1" in str(error.value)
    assert "epochs: got 0 (whole number), need a whole number from 1 to 10000" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 2.0e-4", 'lr: "2e-4"', "lr: got '2e-4' (text), need a number, 0 < lr <= 1 (remove the quotes)"),
        ("epochs: 3", "num_train_epochs: 3", "unknown key num_train_epochs; did you mean epochs?"),
        ("epochs: 3", "epoch: 3", "unknown key epoch; did you mean epochs?"),
        ("epochs: 3", "epochs: 3\nepochs: 4", "key epochs appears twice; keep one of them"),
        ("batch_size: 16", "batch_size: 4.0", "batch_size: got 4.0 (number), need a whole number from 1 to 1000000"),
        ("model_revision: pinned", "model_revision: main", "need pinned, or a 40-hex commit of the model"),
        ("task: movie_stars ", "", "key task is missing; need text"),
    ],
)
def test_a_mistake_is_named_with_its_mend(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Prevents a bad value from being ignored, or from ending in a traceback."""
    with pytest.raises(ParamsError) as error:
        params.load(params.Train, changed(tmp_path, old, new))
    assert message in str(error.value)
