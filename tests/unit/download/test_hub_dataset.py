"""Tasks of the hub, loaded from the fake hub by the real client."""

import json
import sys
from pathlib import Path
from typing import Any

import fake_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, environment, run

from refit.download.task_registry import TASKS, Hub

# In a process of its own, because the client reads its settings once.
PROGRAM = """
import sys
from pathlib import Path
from refit import params
from refit.download import dataset, task_registry
for task in sys.argv[2:]:
    chosen = params.Download(task=task, validation_share=0.1, test_share=0.1, split_seed=1)
    dataset.write(chosen, task_registry.find(task), Path(sys.argv[1], task))
"""
HUB_TASKS = [name for name, task in TASKS.items() if isinstance(task.source, Hub)]


@pytest.fixture(scope="module")
def raw(hub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder data/raw of every hub task by name, and of rte again without a network in offline/rte."""
    folder = tmp_path_factory.mktemp("raw")
    with fake_hub.running(hub_root) as server:
        env = environment(HF_ENDPOINT=server.url, HF_HOME=str(folder / "cache"))
        run(sys.executable, "-c", PROGRAM, folder, *HUB_TASKS, cwd=ROOT, env=env)
    run(sys.executable, "-c", PROGRAM, folder / "offline", "rte", cwd=ROOT, env={**env, "HF_HUB_OFFLINE": "1"})
    return folder


def record(folder: Path) -> Any:
    return json.loads((folder / "task.json").read_text())


@pytest.mark.parametrize("name", HUB_TASKS)
def test_every_hub_task_loads_with_its_columns_and_hidden_labels(raw: Path, name: str) -> None:
    """Prevents a row of the task table that names a split, column or configuration which is not there."""
    task, found = TASKS[name], record(raw / name)
    columns = ["text", "text_pair", "label"] if task.text_pair else ["text", "label"]
    assert set(found["splits"]) == {*task.splits, "validation"}
    for split, of_split in found["splits"].items():
        table = pq.read_table(raw / name / f"{split}.parquet")
        assert table.column_names == columns
        assert table.num_rows == of_split["rows"] > 0
        hidden = (split.startswith("test") and "hidden" in task.note) or task.splits.get(split) == "ax/test"
        assert of_split["is_labelled"] is not hidden
    assert bool(found["labels"]) is (task.problem_type == "classification")
    assert found["revision"] == fake_hub.commit_of(found["source_name"])


def test_a_hub_task_is_loaded_at_its_commit_also_offline(raw: Path) -> None:
    """Prevents another commit's rows under a pinned task, online or from the cache."""
    online = record(raw / "rte")
    assert online["revision"] == TASKS["rte"].source.revision  # type: ignore[union-attr]
    assert online["labels"] == ["entailment", "not_entailment"]
    assert sorted(online["files"]) == [
        f"rte/{split}-00000-of-00001.parquet" for split in ("test", "train", "validation")
    ]
    assert record(raw / "offline/rte") == online


def test_yelp_holds_validation_out_of_train(raw: Path) -> None:
    """Prevents the epoch from being selected on the examples that are reported."""
    labels = {
        split: pq.read_table(raw / f"yelp/{split}.parquet")["label"].to_numpy() for split in ("train", "validation")
    }
    assert {split: np.bincount(of_split).tolist() for split, of_split in labels.items()} == {
        "train": [36] * 5, "validation": [4] * 5,
    }  # fmt: skip
