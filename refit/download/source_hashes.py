"""The hashes of the files that params.yaml names: the user's own examples and a local model.

DVC cannot list them as deps, because their paths depend on params. So the stage `hash_sources` runs in every
`dvc repro` and writes two small records, on which `download` and `download_model` depend.
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
    """Write data/source.json and models/source.json. Raises ParamsError for a task or a model that does not exist.

    The record of a model folder that is missing here is kept, so that a run made on another machine can be used.
    """
    source = task_registry.find(params.task).source
    # `download` reports a missing folder and broken links.
    own_files = (paths.OWN.parent / source.name).glob("*") if source.kind == "own" else ()
    files.write_json(paths.DATA_SOURCE, {"task": params.task, "files": _hashes(own_files)})
    try:
        folder = model_registry.local_folder(params.model)
    except ParamsError:
        recorded = files.read_json(paths.MODEL_SOURCE) if paths.MODEL_SOURCE.is_file() else {}
        is_here = os.path.isdir(os.path.expanduser(params.model))
        if is_here or recorded.get("model") != params.model or not recorded["files"]:
            raise
        print(f"hash_sources: {params.model} is not here; using models/base, its copy", file=sys.stderr)
        return
    model_files = (path for pattern in model_registry.FILES for path in folder.glob(pattern)) if folder else ()
    files.write_json(paths.MODEL_SOURCE, {"model": params.model, "files": _hashes(model_files)})


def _hashes(found: Iterable[Path]) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in found if path.is_file()}
