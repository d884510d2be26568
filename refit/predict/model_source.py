"""A finished run to predict with: its model, the params it was made with, its task, and where these lie.

A run is named by a folder (of a model, or of a clone of this repository), a git revision or a DVC experiment. Files of
a revision are taken out of DVC's cache; the workspace is not touched.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refit import params, paths, repo
from refit.data.task_record import TaskRecord
from refit.errors import DataError, ParamsError, UsageError


@dataclass(frozen=True)
class Settings:
    """What decides the numbers beside the weights: None takes the model's own limit."""

    max_length: int | None
    batch_size: int
    precision: Any
    threads: Any


# Of a model that comes without a params.yaml.
ALONE = Settings(max_length=None, batch_size=64, precision="auto", threads="auto")


@dataclass(frozen=True)
class Finished:
    """A run's files on this disk; `task` and `data` are None for a model that comes alone."""

    name: str
    model: Path
    settings: Settings
    task: TaskRecord | None
    data: Path | None


@contextmanager
def find(name: str | None, split: str | None = None) -> Iterator[Finished]:
    """The run that `name` says: None is the workspace's. With `split`, its raw rows are brought too.

    A run out of git is in a temporary folder until the block ends. Raises UsageError for a name that is nothing,
    NetworkError when its files are neither in DVC's cache nor in its remote.
    """
    if name is None:
        yield _of_clone(Path(), "the workspace")
    elif (Path(name) / "config.json").is_file():
        yield Finished(name, Path(name), _settings_of(Path(name)), _task_of(Path(name)), None)
    elif (Path(name) / "dvc.yaml").is_file():
        yield _of_clone(Path(name), name)
    elif Path(name).is_dir():
        raise ParamsError(f"--model {name}: the folder has no config.json; need a folder of a saved model")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            _take_out(name, Path(scratch), split)
            yield _of_clone(Path(scratch), name)


def _of_clone(root: Path, name: str) -> Finished:
    model = root / paths.FINETUNED_MODEL
    if not (model / "config.json").is_file():
        raise DataError(f"{model} is not there; run: dvc repro (or dvc pull), or name another model with --model")
    return Finished(name, model, _settings(root / paths.PARAMS), _task(root / paths.TASK), root / paths.RAW)


def _settings_of(model: Path) -> Settings:
    """The workspace's own params for the workspace's own model, however it is named."""
    return _settings(paths.PARAMS) if _is_ours(model) else ALONE


def _task_of(model: Path) -> TaskRecord | None:
    return _task(paths.TASK) if _is_ours(model) else None


def _task(path: Path) -> TaskRecord | None:
    return TaskRecord.read(path) if path.is_file() else None


def _is_ours(model: Path) -> bool:
    return paths.PARAMS.is_file() and model.resolve() == paths.FINETUNED_MODEL.resolve()


def _settings(path: Path) -> Settings:
    scoring = params.load(params.Evaluate, path)
    length = params.load(params.Tokenize, path).max_length
    return Settings(length, scoring.eval_batch_size, scoring.precision, scoring.threads)


def _take_out(name: str, target: Path, split: str | None) -> None:
    """Copy a revision's params, model and task, and the raw rows of a split, out of git and DVC's cache or remote."""
    try:
        stored = repo.single(name)
    except UsageError as error:
        raise UsageError(f"--model {name}: no such folder; as a revision: {error}") from None
    content = stored.from_git(paths.PARAMS)
    if content is None:
        raise DataError(f"--model {name}: this revision has no {paths.PARAMS}; name another")
    (target / paths.PARAMS).write_bytes(content)
    wanted = [paths.FINETUNED_MODEL, paths.TASK]
    if split is not None:
        wanted += [paths.RAW / part for part in stored.names_from_dvc(paths.RAW) if _is_part(Path(part), split)]
    for path in wanted:
        stored.copy_from_dvc(path, target / path)


def _is_part(path: Path, split: str) -> bool:
    return path.suffix == ".parquet" and (path.stem == split or path.stem.startswith(f"{split}_"))
