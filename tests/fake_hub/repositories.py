"""The repositories of the fake hub: generated data sets where the task table expects them, and a tiny model."""

import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from conftest import BAD, GOOD, sentence

from refit.download.model_registry import HUB_COMMITS
from refit.download.task_registry import TASKS, Task

LABELS = {
    "yelp_review_full": ["1 star", "2 star", "3 stars", "4 stars", "5 stars"],
    "cola": ["unacceptable", "acceptable"],
    "sst2": ["negative", "positive"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "ax": ["entailment", "neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
    "rte": ["entailment", "not_entailment"],
    "wnli": ["not_entailment", "entailment"],
    "afqmc": ["0", "1"],
}
WITH_TEST_LABELS = ("yelp_review_full", "mrpc")
ROWS = {"train": 200, "validation": 40, "test": 40}


def write(root: Path, model: Path) -> Path:
    """Write every data set of the task table, and the model under each pinned name, into `root`."""
    cards: dict[str, dict[str, list[dict[str, object]]]] = {}
    for task in TASKS.values():
        if task.source.kind == "hub":
            folder = root / "datasets" / task.source.name
            infos = cards.setdefault(task.source.name, {})
            for written in task.splits.values():
                config, _, split = written.rpartition("/")
                config = config or task.source.config
                (folder / config).mkdir(parents=True, exist_ok=True)
                pq.write_table(_rows(task, config, split), folder / config / f"{split}-00000-of-00001.parquet")
                infos[config] = _features(task, config)
    for name, infos in cards.items():
        card = {"dataset_info": [{"config_name": config, "features": features} for config, features in infos.items()]}
        (root / "datasets" / name / "README.md").write_text(f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n")
    for name in HUB_COMMITS:
        shutil.copytree(model, root / "models" / name)
    return root


def _rows(task: Task, config: str, split: str) -> pa.Table:
    generator = random.Random(f"{config} {split}")
    rows = ROWS[split.partition("_")[0]]
    names = LABELS.get(config)
    values = [row % len(names) if names else round(generator.uniform(0, 5), 2) for row in range(rows)]
    columns = {
        column: [f"{sentence(generator, GOOD if label else BAD)} {row}" for row, label in enumerate(values)]
        for column in (task.text, task.text_pair) if column
    }  # fmt: skip
    if split.startswith("test") and config not in WITH_TEST_LABELS:
        values = [-1] * rows
    return pa.table({**columns, task.label: pa.array(values, pa.int64() if names else pa.float32())})


def _features(task: Task, config: str) -> list[dict[str, object]]:
    names = LABELS.get(config)
    label = {"class_label": {"names": {str(index): name for index, name in enumerate(names)}}} if names else "float32"
    texts = [{"name": column, "dtype": "string"} for column in (task.text, task.text_pair) if column]
    return [*texts, {"name": task.label, "dtype": label}]
