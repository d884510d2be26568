"""The hashes of the files that params.yaml names: the user's own rows, and a local model folder.

DVC cannot list them as deps, because their paths depend on params. So the stage `hash_sources` runs in every
`dvc repro` and writes one small record for each, on which `download` and `download_model` depend.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from refit import paths
from refit.download import model_registry, task_registry
from refit.errors import ParamsError
from refit.params import HashSources
from refit.storage import files


def write(params: HashSources) -> None:
    """Write both records. Raises ParamsError for a task or a model that does not exist.

    A model folder that is missing keeps its record, so that a run fetched from another machine can be used here.
    """
    rows = _own_files(params.task)
    weights = _model_files(params.model)
    hashes = _hash([*rows, *(weights or ())])
    _record(paths.DATA_SOURCE, "task", params.task, {path.name: hashes[path] for path in rows})
    if weights is not None:
        _record(paths.MODEL_SOURCE, "model", params.model, {path.name: hashes[path] for path in weights})


def _own_files(task: str) -> list[Path]:
    """The regular files of an own task; `download` reports missing folders and broken links."""
    source = task_registry.find(task).source
    return _regular((paths.OWN / source.name).glob("*")) if isinstance(source, task_registry.Own) else []


def _model_files(model: str) -> list[Path] | None:
    """The files of a local model; none for a model from elsewhere, None to keep the record of a missing folder."""
    try:
        folder = model_registry.local_folder(model)
    except ParamsError:
        if os.path.isdir(os.path.expanduser(model)) or not _is_recorded(model):
            raise
        print(f"hash_sources: {model} is not here; using models/base, which was copied from it", file=sys.stderr)
        return None
    return _regular(path for pattern in model_registry.FILES for path in folder.glob(pattern)) if folder else []


def _regular(found: Iterable[Path]) -> list[Path]:
    return sorted({path for path in found if path.is_file()})


def _is_recorded(model: str) -> bool:
    """Whether the last record is of a folder with this name."""
    try:
        recorded = files.read_json(paths.MODEL_SOURCE)
        return bool(recorded["model"] == model and recorded["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _record(path: Path, key: str, name: str, hashes: dict[str, str]) -> None:
    files.write_json(path, {key: name, "files": hashes})


def _hash(found: list[Path]) -> dict[Path, str]:
    """The SHA-256 of each file. One whose size, time and inode are unchanged is not read again, as in DVC."""
    store = paths.state_folder() / "source_hashes.json"
    try:
        known = dict(files.read_json(store))
    except (OSError, ValueError, TypeError):
        known = {}
    hashes, seen = {}, {}
    for path in found:
        stat = path.stat()
        state = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
        hashes[path] = seen[state] = known.get(state) or files.sha256(path)
    if seen != known:
        files.write_json(store, seen)
    return hashes
