"""Find the fine-tuned model to predict with: a model folder, a revision or an experiment.

The files of a revision come from git and DVC's cache or remote; the workspace is not changed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refit import params, paths, repo
from refit.data.task_record import TaskRecord
from refit.errors import DataError, UsageError

DEFAULTS = params.Evaluate(eval_batch_size=64, precision="auto", threads="auto")


@dataclass(frozen=True)
class FinetunedModel:
    """A folder with a fine-tuned model, and the settings of its run, or the defaults if only the folder is known.

    `max_length` is None for the tokenizer's own limit; `task` and `raw`, the folder with the task's examples, are None
    for a folder alone.
    """

    name: str
    folder: Path
    settings: params.Evaluate = DEFAULTS
    max_length: int | None = None
    long_texts: params.LongTexts = "head"
    task: TaskRecord | None = None
    raw: Path | None = None


@contextmanager
def find(name: str | None, split: str | None = None) -> Iterator[FinetunedModel]:
    """The model that `name` means, None for the workspace's; a revision's files are in a temporary folder.

    With `split`, a revision's examples of that split are fetched too. Raises UsageError if there is no such model,
    NetworkError if its files are neither in DVC's cache nor in its remote.
    """
    if name is None:
        yield _of_clone(Path(), "the workspace", params.values())
    elif (Path(name) / "config.json").is_file():
        yield FinetunedModel(name, Path(name))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            run = _copy_revision(name, Path(scratch), split)
            yield _of_clone(Path(scratch), name, run)


def _of_clone(root: Path, name: str, run: dict[str, Any]) -> FinetunedModel:
    folder, task = root / paths.FINETUNED_MODEL, root / paths.TASK
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not there; run: dvc repro (or dvc pull), or name another model with --model")
    record = TaskRecord.read(task) if task.is_file() else None
    settings = params.Evaluate(**run)
    return FinetunedModel(name, folder, settings, run["max_length"], run["long_texts"], record, root / paths.RAW)


def _copy_revision(name: str, target: Path, split: str | None) -> dict[str, Any]:
    """Copy a revision's model and task, and with `split` the examples of its parts, into `target`; returns its params.

    Params that came later have their default.
    """
    try:
        revision = repo.single(name)
    except UsageError as error:
        raise UsageError(f"--model {name}: no folder with a config.json; as a revision: {error}") from None
    for path in (paths.FINETUNED_MODEL, paths.TASK):
        revision.copy_from_dvc(path, target / path)
    for name in TaskRecord.read(target / paths.TASK).splits if split else ():
        if name == split or name.startswith(f"{split}_"):  # test_mismatched and test_ax belong to a submission of test
            path = paths.RAW / f"{name}.parquet"
            revision.copy_from_dvc(path, target / path)
    return {"long_texts": "head", **repo.parse_yaml(revision.from_git(paths.PARAMS) or b"{}")}
