"""Tasks of the hub, loaded from the fake hub by the real client."""

import sys
from pathlib import Path

import fake_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, environment, run

from refit.data.task_record import TaskRecord
from refit.download import hub, hub_dataset
from refit.download.task_registry import TASKS, Source, Task

# In a process of its own, because the client reads its settings once.
PROGRAM = """
import sys
from pathlib import Path
from refit import params
from refit.download import dataset, task_registry
for task in sys.argv[2:]:
    chosen = params.Download(
        task=task, validation_share=0.1, test_share=0.1, split_seed=1, split_by="random", folds=0, fold=1
    )
    dataset.write(chosen, task_registry.find(task), Path(sys.argv[1], task))
"""
HUB_TASKS = [name for name, task in TASKS.items() if task.source.kind == "hub"]


@pytest.fixture(scope="module")
def raw(hub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder data/raw of every hub task by name, and of rte again without a network in offline/rte."""
    folder = tmp_path_factory.mktemp("raw")
    with fake_hub.running(hub_root) as server:
        env = environment(HF_ENDPOINT=server.url, HF_HOME=str(folder / "cache"))
        run(sys.executable, "-c", PROGRAM, folder, *HUB_TASKS, cwd=ROOT, env=env)
    run(sys.executable, "-c", PROGRAM, folder / "offline", "rte", cwd=ROOT, env={**env, "HF_HUB_OFFLINE": "1"})
    return folder


def test_folds_of_a_hub_task_are_of_train_and_validation(raw: Path, tmp_path: Path) -> None:
    """Prevents folds that leave the source's validation rows out, and MNLI's two genres in one fold."""
    env = environment(HF_HOME=str(raw / "cache"), HF_HUB_OFFLINE="1")
    program = PROGRAM.replace("folds=0", "folds=4")
    done = run(sys.executable, "-c", program, tmp_path, "stsb", "mnli", cwd=ROOT, env=env, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "folds: got 4, but the task has validation and validation_mismatched; need 0"
    )
    before, after = (TaskRecord.read(folder / "stsb/task.json").splits for folder in (raw, tmp_path))
    assert after["validation"].rows == pytest.approx((before["train"].rows + before["validation"].rows) / 4, abs=1)
    assert after["test"].sha256 == before["test"].sha256


@pytest.mark.parametrize("name", HUB_TASKS)
def test_every_hub_task_loads_with_its_columns_and_hidden_labels(raw: Path, name: str) -> None:
    """Prevents a row of the task table that names a split, column or configuration which is not there."""
    task, record = TASKS[name], TaskRecord.read(raw / name / "task.json")
    assert set(record.splits) == {*task.splits, "validation"}
    for split, of_split in record.splits.items():
        table = pq.read_table(raw / name / f"{split}.parquet")
        assert table.column_names == (["text", "text_pair", "label"] if task.text_pair else ["text", "label"])
        assert table.num_rows == of_split.rows > 0
        is_hidden = (split.startswith("test") and "hidden" in task.note) or task.splits.get(split) == "ax/test"
        assert of_split.is_labelled is not is_hidden
    assert bool(record.labels) is (task.problem_type == "classification")
    assert record.revision == fake_hub.commit_of(record.source_name)


def test_a_hub_task_is_the_same_offline(raw: Path) -> None:
    """Prevents another commit's rows under a pinned task, from the cache."""
    online = TaskRecord.read(raw / "rte/task.json")
    assert online.revision == TASKS["rte"].source.revision
    assert online.labels == ["entailment", "not_entailment"]
    assert {name.partition("-")[0] for name in online.files} == {"rte/train", "rte/validation", "rte/test"}
    assert TaskRecord.read(raw / "offline/rte/task.json") == online


def test_yelp_holds_validation_out_of_train(raw: Path) -> None:
    """Prevents the epoch from being selected on the examples that are reported."""
    for split, rows in {"train": 180, "validation": 20, "test": 40}.items():
        labels = pq.read_table(raw / f"yelp/{split}.parquet")["label"].to_numpy()
        assert np.bincount(labels).tolist() == [rows / 5] * 5


def test_labels_without_names_are_those_of_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a label that only occurs in test from being lost."""
    for split, label in (("train", 1), ("test", 3)):
        (tmp_path / "plain").mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": ["a"], "label": [label]}), tmp_path / f"plain/{split}-0.parquet")
    monkeypatch.setattr(hub, "snapshot", lambda *_: tmp_path)
    source = Source(kind="hub", name="plain", config="plain")
    loaded = hub_dataset.load(Task(source=source, splits={"train": "train", "test": "test"}))
    assert loaded.labels == ["0", "1", "2", "3"]
