"""What a model answered on validation, kept with its weights: `evaluate` need not compute it a second time.

The answers count for the same rows, batches and number format alone, which stand beside their hash in the folder's
manifest. What else may change a bit (another processor, another torch) shows when some of them are computed again.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refit import paths
from refit.model import device
from refit.storage import manifest

NAME = "validation_logits.npy"
Values = npt.NDArray[np.float32]  # (rows, labels); (0, 0) where there are none


def circumstances(batch_size: int, number: device.Format) -> dict[str, Any]:
    """What answers depend on beside the weights: the rows of data/sampled, the batches and the number format."""
    rows = manifest.read_record(paths.SAMPLED / manifest.NAME)["validation.arrow"]["sha256"]
    return {"of_rows": rows, "batch_size": batch_size, "number_format": number}


def save(folder: Path, values: Values | None) -> None:
    """Put answers beside a model's weights, or the note that there are none."""
    np.save(folder / NAME, np.empty((0, 0), np.float32) if values is None else values, allow_pickle=False)


def known(folder: Path, batch_size: int, number: device.Format) -> Values | None:
    """The answers of a finished model if they are of just these circumstances, else None."""
    recorded = manifest.read_record(folder / manifest.NAME).get(NAME, {})
    if not circumstances(batch_size, number).items() <= recorded.items():
        return None
    values: Values = np.load(folder / NAME, allow_pickle=False)
    return values if len(values) else None
