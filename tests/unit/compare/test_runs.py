"""The inputs of a run in this repository's own dvc.lock: what depends on the seed must not keep runs apart."""

from conftest import ROOT

from refit.compare import runs
from refit.repo import parse_yaml

STAGES = parse_yaml((ROOT / "dvc.lock").read_bytes())["stages"]


def test_what_follows_from_the_seed_is_not_an_input_and_all_else_is() -> None:
    """Prevents seeds from not being pooled, and other runs from being pooled as seeds."""
    found = runs.inputs(STAGES)
    assert not any(name.startswith(("models/finetuned", "metrics/")) for name in found)
    assert {
        "data/raw",
        "data/sampled",
        "models/base",
        "refit/training",
        "stages/evaluate.py",
    } <= found.keys()
    assert all(found.values())


def test_an_edit_of_code_is_seen() -> None:
    """Prevents runs of different code from being pooled."""
    edited = parse_yaml((ROOT / "dvc.lock").read_bytes())["stages"]
    (dependency,) = (dep for dep in edited["train"]["deps"] if dep["path"] == "refit/training")
    dependency["md5"] = "0" * 32
    before, after = runs.inputs(STAGES), runs.inputs(edited)
    assert {name for name in before if before[name] != after[name]} == {"refit/training"}
