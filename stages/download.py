"""Download the inputs of a run: its examples (stage download) or the pretrained model (stage download_model).

python -m stages.download data|model
"""

import sys
from typing import Any

from refit import paths
from refit.stage import run


def download() -> dict[str, Any]:
    """Write data/raw/{split}.parquet and task.json, the record of the task."""
    from refit import params
    from refit.download import dataset, task_registry

    chosen = params.load(params.Download)
    return dataset.write(chosen, task_registry.find(chosen.task), paths.RAW)


def download_model() -> dict[str, Any]:
    """Write models/base: config, tokenizer and safetensors weights, and model.json, the record of their source."""
    from refit import params
    from refit.download import pretrained

    return pretrained.write(params.load(params.DownloadModel), paths.BASE_MODEL)


if __name__ == "__main__":
    if sys.argv[1:] == ["model"]:
        run("download_model", download_model, network=True)
    else:
        run("download", download, network=True)
