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

from refit import params, paths
from refit.errors import DataError, ParamsError
from refit.storage import files


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
    task: dict[str, Any] | None
    data: Path | None


@contextmanager
def find(name: str | None, split: str | None = None) -> Iterator[Finished]:
    """The run that `name` says: None is the workspace's. With `split`, its raw rows are brought too.

    A run out of git lies in a temporary folder until the block ends. Raises ParamsError for a name that is nothing,
    DataError when its files are not in DVC's cache.
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
    task = files.read_json(root / paths.TASK) if (root / paths.TASK).is_file() else None
    return Finished(name, model, _settings(root / paths.PARAMS), task, root / paths.RAW)


def _settings_of(model: Path) -> Settings:
    """The workspace's own params for the workspace's own model, however it is named."""
    return _settings(paths.PARAMS) if _is_ours(model) else ALONE


def _task_of(model: Path) -> dict[str, Any] | None:
    task: dict[str, Any] | None = files.read_json(paths.TASK) if _is_ours(model) and paths.TASK.is_file() else None
    return task


def _is_ours(model: Path) -> bool:
    return paths.PARAMS.is_file() and model.resolve() == paths.FINETUNED_MODEL.resolve()


def _settings(path: Path) -> Settings:
    scoring = params.load(params.Evaluate, path)
    length = params.load(params.Tokenize, path).max_length
    return Settings(length, scoring.eval_batch_size, scoring.precision, scoring.threads)


def _take_out(revision: str, target: Path, split: str | None) -> None:
    """Copy a revision's model, params and task, and the raw rows of a split, out of git and DVC's cache."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import RevError, SCMError

    try:
        tree = DVCFileSystem(".", rev=revision)
        (target / paths.PARAMS).write_bytes(tree.read_bytes(str(paths.PARAMS)))
        wanted = [paths.FINETUNED_MODEL, paths.TASK]
        if split is not None:
            wanted += [Path(place) for place in tree.ls(str(paths.RAW), detail=False) if _is_part(Path(place), split)]
        for path in wanted:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            tree.get(str(path), str(target / path), recursive=path == paths.FINETUNED_MODEL)
    except (RevError, SCMError):
        raise ParamsError(
            f"--model {revision}: neither a folder, a git revision nor an experiment; see: dvc exp show, git log"
        ) from None
    except NotDvcRepoError:
        raise ParamsError(f"--model {revision}: not a folder, and this is no repository; need a model folder") from None
    except (DvcException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"--model {revision}: its files are neither in DVC's cache nor on a remote ({reason}); "
            f"run: dvc fetch, or dvc exp apply {revision} && dvc repro"
        ) from None


def _is_part(path: Path, split: str) -> bool:
    return path.suffix == ".parquet" and (path.stem == split or path.stem.startswith(f"{split}_"))
