"""A fine-tuned model's answers, fast: longest rows first, no gradients, and back in the rows' own order.

On a CPU several batches are computed beside each other, a thread or a few each. One batch on all threads takes 1.25
times as long on two cores, because after each product the threads wait for the slowest of them.
"""

from concurrent.futures import ThreadPoolExecutor
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

Batch = npt.NDArray[np.int64]  # the places of its rows
Values = npt.NDArray[np.float32]  # (rows, labels)


def logits(
    model: PreTrainedModel, rows: Rows, collate: Collator, batch_size: int, number: device.Format, desc: str
) -> Values:
    """The model's raw outputs (rows, labels) for every row, in the order of `rows`, under a progress bar."""
    with bar(total=len(rows), desc=desc) as progress:
        return answers(model, rows, collate, batch_size, number, progress)


def answers(
    model: PreTrainedModel, rows: Rows, collate: Collator, batch_size: int, number: device.Format, progress: "tqdm[Any]"
) -> Values:
    """As `logits`, moving a bar that is already there."""
    place = device.device()
    model = model.to(place).eval()
    order = by_length(rows)
    examples = Examples(rows)

    def of_batch(chosen: Batch) -> Values:
        batch = collate([examples[int(index)] for index in chosen])
        del batch["labels"]
        with torch.inference_mode(), device.autocast(number):
            output = model(**{name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()})
        found: Values = output.logits.float().cpu().numpy()
        return found

    result = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    threads = torch.get_num_threads()
    at_once = max(1, min(threads, len(batches))) if place.type == "cpu" else 1
    # Threads of Python will do: torch lets go of Python's lock while it computes.
    with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
        try:
            for chosen, values in zip(batches, pool.map(of_batch, batches), strict=True):
                result[chosen] = values
                progress.update(len(chosen))
        finally:
            pool.shutdown(cancel_futures=True)  # whoever asks to stop does not wait for every batch
            torch.set_num_threads(threads)  # new threads begin with the number that was set last, wherever it was
    return result


def probabilities(values: Values) -> Values:
    """The softmax of logits (rows, labels), computed in float64 so that rows sum to one."""
    shifted = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
    result: Values = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result
