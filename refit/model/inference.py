"""Logits of a model for many examples: longest first, without gradients, returned in the order of the examples.

On a CPU several batches are computed in parallel, with one or a few threads each. One batch at a time on all threads
takes 1.25 times as long on two cores, because the threads wait for each other after every product.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from refit.model import device
from refit.model.batching import Collator, Examples, by_length
from refit.storage.arrow import Rows

Values = npt.NDArray[np.float32]  # (rows or texts, labels)


@dataclass(frozen=True)
class Inference:
    """A model and everything that decides its logits: the collator, the batch size and the number format."""

    model: PreTrainedModel
    collate: Collator
    batch_size: int
    number: device.Format

    def logits(self, rows: Rows, progress: "tqdm[Any]") -> Values:
        """The logits (texts, labels) of every text, in the order of `rows`; `progress` advances by one per text."""
        place = device.device()
        model = self.model.to(place).eval()
        examples = Examples(rows)
        order = by_length(rows)
        starts = rows.text_starts()
        is_first = np.zeros(len(rows), dtype=bool)
        is_first[starts] = True
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

        def compute(batch: npt.NDArray[np.int64]) -> Values:
            tensors = self.collate([examples[int(index)] for index in batch])
            del tensors["labels"]
            with torch.inference_mode(), device.autocast(self.number):
                output = model(**{name: tensor.to(place, non_blocking=True) for name, tensor in tensors.items()})
            return output.logits.float().cpu().numpy()  # type: ignore[no-any-return]

        result = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
        threads = torch.get_num_threads()
        workers = max(1, min(threads, len(batches))) if place.type == "cpu" else 1
        # Python threads are enough: torch releases the GIL while it computes.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            try:
                for batch, found in zip(batches, pool.map(compute, batches), strict=True):
                    result[batch] = found
                    progress.update(int(is_first[batch].sum()))
            finally:
                pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the remaining batches
                torch.set_num_threads(threads)  # set_num_threads in a worker also changed the default of new threads
        return mean_of_windows(result, starts)


def mean_of_windows(logits: Values, starts: npt.NDArray[np.int64]) -> Values:
    """The mean logits (texts, labels) of each text's windows, of logits (rows, labels); see Rows.text_starts."""
    if len(starts) == len(logits):
        return logits
    sums = np.add.reduceat(logits.astype(np.float64), starts, axis=0)
    return (sums / np.diff(starts, append=len(logits))[:, None]).astype(np.float32)
