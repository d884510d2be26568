"""A fine-tuned model's answers, fast: longest rows first, no gradients, and back in the rows' own order."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from refit.modeling import device
from refit.modeling.batching import Collator, Examples, by_length
from refit.progress import bar
from refit.storage.arrow import Rows


def logits(
    model: PreTrainedModel, rows: Rows, collate: Collator, batch_size: int, number: device.Format, desc: str
) -> npt.NDArray[np.float32]:
    """The model's raw outputs (rows, labels) for every row, in the order of `rows`, under a progress bar."""
    with bar(total=len(rows), desc=desc) as progress:
        return answers(model, rows, collate, batch_size, number, progress)


def answers(
    model: PreTrainedModel, rows: Rows, collate: Collator, batch_size: int, number: device.Format, progress: "tqdm[Any]"
) -> npt.NDArray[np.float32]:
    """As `logits`, moving a bar that is already there."""
    place = device.device()
    model = model.to(place).eval()
    order = by_length(rows)
    examples = Examples(rows)
    result = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
    with torch.inference_mode(), device.autocast(number):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = collate([examples[int(index)] for index in chosen])
            del batch["labels"]
            output = model(**{name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()})
            result[chosen] = output.logits.float().cpu().numpy()
            progress.update(len(chosen))
    return result


def probabilities(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The softmax of logits (rows, labels), computed in float64 so that rows sum to one."""
    shifted = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
    result: npt.NDArray[np.float32] = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result
