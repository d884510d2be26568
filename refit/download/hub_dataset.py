"""Rows of a hub dataset, at one commit.

`datasets` offline ignores `revision` and serves the newest copy that it has. So the commit's own files are fetched
first (refit/download/hub.py), as many as the task needs by the repository's card, and `datasets` reads those.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from refit.download import hub
from refit.download.splits import Loaded
from refit.download.task_registry import Hub, Task
from refit.errors import DataError
from refit.storage import files

if TYPE_CHECKING:
    from datasets import Dataset

BUILDERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}


@dataclass(frozen=True)
class Place:
    """One split of one configuration of a repository."""

    config: str | None
    split: str

    def __str__(self) -> str:
        return f"{self.config}/{self.split}" if self.config else self.split


def load(task: Task, source: Hub) -> Loaded:
    """Every split of a hub task at its commit. Raises as `hub.snapshot`, and DataError when a column is not there."""
    card_folder = hub.snapshot(source.id, "dataset", source.revision, ["README.md"])
    commit = card_folder.name
    places = {name: _place(written, source) for name, written in task.splits.items()}
    patterns = {place: _patterns(card_folder / "README.md", place, source.id) for place in places.values()}
    wanted = sorted({pattern for found in patterns.values() for pattern in found})
    folder = hub.snapshot(source.id, "dataset", commit, ["README.md", *wanted])
    splits: dict[str, pa.Table] = {}
    labels: list[str] = []
    sums: dict[str, str] = {}
    for name, place in places.items():
        paths = sorted(path for pattern in patterns[place] for path in folder.glob(pattern))
        dataset = _read(paths, folder, place, source.id)
        columns = [column for column in (task.text, task.text_pair, task.label) if column]
        missing = [column for column in columns if column not in dataset.column_names]
        if missing:
            raise DataError(
                f"{source.id} {place}: no column {missing[0]!r}; columns are: {', '.join(dataset.column_names)}"
            )
        labels = labels or list(getattr(dataset.features[task.label], "names", None) or [])
        splits[name] = _columns(dataset, task)
        sums |= {str(path.relative_to(folder)): files.sha256(path) for path in paths}
    if task.problem_type == "regression":
        labels = []
    elif not labels:
        highest = max(pc.max(table["label"]).as_py() for table in splits.values())
        labels = [str(label) for label in range(highest + 1)]
    return Loaded(
        splits=splits, labels=labels, problem_type=task.problem_type or "classification", revision=commit, files=sums
    )


def _place(written: str, source: Hub) -> Place:
    """`split` of the task's configuration, or `config/split` of another one."""
    config, _, split = written.rpartition("/")
    return Place(config or source.config, split)


def _patterns(card: Path, place: Place, repository: str) -> list[str]:
    """The globs of a split's files: what the card says, or where `push_to_hub` puts them."""
    configs = _card(card).get("configs") or []
    chosen = [entry for entry in configs if entry.get("config_name") == place.config]
    if place.config is None:
        chosen = [entry for entry in configs if entry.get("default")] or configs[:1]
    if not chosen:
        return [f"{place.config or 'data'}/{place.split}-*.parquet"]
    for entry in chosen[0].get("data_files") or []:
        if isinstance(entry, dict) and entry.get("split") == place.split:
            path = entry["path"]
            return [path] if isinstance(path, str) else list(path)
    known = [entry["split"] for entry in chosen[0].get("data_files") or [] if isinstance(entry, dict)]
    raise DataError(f"{repository}: no split {place}; its card names {', '.join(known) or 'none'}")


def _card(card: Path) -> dict[str, Any]:
    from huggingface_hub import DatasetCard

    if not card.is_file():
        return {}
    data: dict[str, Any] = DatasetCard.load(card).data.to_dict()
    return data


def _read(paths: list[Path], folder: Path, place: Place, repository: str) -> "Dataset":
    import datasets
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    if not paths:
        raise DataError(
            f"{repository}@{folder.name}: no files for {place}; "
            "check the task's splits in refit/download/task_registry.py"
        )
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    card = folder / "README.md"
    known = DatasetInfosDict.from_dataset_card_data(DatasetCard.load(card).data) if card.is_file() else {}
    features = known[place.config].features if place.config in known else None
    builder = BUILDERS.get(paths[0].suffix)
    if builder is None:
        raise DataError(f"{repository}: {paths[0].name} is not one of {', '.join(BUILDERS)}, which refit reads")
    data_files = {place.split: [str(path) for path in paths]}
    return datasets.load_dataset(builder, data_files=data_files, split=place.split, features=features)


def _columns(dataset: "Dataset", task: Task) -> pa.Table:
    table = dataset.data.table
    label_type = pa.float32() if task.problem_type == "regression" else pa.int64()
    columns = {"text": table[task.text].cast(pa.string())}
    if task.text_pair:
        columns["text_pair"] = table[task.text_pair].cast(pa.string())
    columns["label"] = table[task.label].cast(label_type)
    return pa.table(columns)
