"""The inputs of a run in this repository's own dvc.lock: what depends on params must not keep runs apart."""

import copy
from pathlib import Path

import pytest
from conftest import ROOT

from refit.compare import runs
from refit.errors import DataError
from refit.repo import Revision, parse_yaml

STAGES = parse_yaml((ROOT / "dvc.lock").read_bytes())["stages"]


def test_what_follows_from_params_is_not_an_input_and_all_else_is() -> None:
    """Prevents seeds and folds from not being pooled, and other runs from being pooled as seeds."""
    found = runs.inputs(STAGES)
    assert [name for name in found if not name.startswith(("refit/", "stages/", "the command"))] == [
        "data/source.json", "models/source.json",
    ]  # fmt: skip
    assert {"refit/training", "stages/evaluate.py"} <= found.keys()
    assert all(found.values())
    edited = copy.deepcopy(STAGES)
    (dependency,) = (dep for dep in edited["train"]["deps"] if dep["path"] == "refit/training")
    dependency["md5"] = "0" * 32
    assert {name for name, md5 in runs.inputs(edited).items() if md5 != found[name]} == {"refit/training"}


def test_a_revision_without_scores_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback for a commit from before the first run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^workspace: metrics/scores.json does not exist; run dvc repro"):
        runs.read(Revision(name="workspace", commit=None))
