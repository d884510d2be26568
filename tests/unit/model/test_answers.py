"""Answers that lie beside the weights: used for what they are answers to, and for nothing else."""

from pathlib import Path

import numpy as np
import pytest

from refit import paths
from refit.model import answers
from refit.storage import files, manifest

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder with answers to the validation rows of data/sampled, in batches of 64, in bf16."""
    monkeypatch.chdir(tmp_path)
    _sample("the rows")
    folder = tmp_path / paths.FINETUNED_MODEL
    folder.mkdir(parents=True)
    answers.save(folder, VALUES)
    manifest.write(folder, {answers.NAME: answers.circumstances(64, "bf16")})
    return folder


def _sample(rows: str) -> None:
    files.write_text(paths.SAMPLED / "validation.arrow", rows)
    manifest.write(paths.SAMPLED, {"validation.arrow": {"rows": 3}})


def test_they_come_back_as_they_were(model: Path) -> None:
    """Prevents answers that are never used."""
    found = answers.known(model, 64, "bf16")
    assert found is not None
    assert np.array_equal(found, VALUES)


def test_other_batches_formats_and_rows_have_no_answers(model: Path) -> None:
    """Prevents scores that do not follow from params.yaml and the rows."""
    assert answers.known(model, 32, "bf16") is None
    assert answers.known(model, 64, "fp32") is None
    _sample("other rows")
    assert answers.known(model, 64, "bf16") is None


def test_a_model_without_answers_has_none(model: Path) -> None:
    """Prevents an error for a model that several processes trained, or that an earlier refit did."""
    answers.save(model, None)
    manifest.write(model, {answers.NAME: answers.circumstances(64, "bf16")})
    assert answers.known(model, 64, "bf16") is None
    manifest.write(model, {})
    assert answers.known(model, 64, "bf16") is None
