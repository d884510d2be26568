"""A model's answers, fast: longest rows first, no gradients, and back in the rows' own order.

On a CPU several batches are computed beside each other, a thread or a few each. One batch on all threads takes 1.25
times as long on two cores, because after each product the threads wait for the slowest of them.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from refit.model import device
from refit.model.answers import Values
from refit.model.batching import Collator, Examples, by_length
from refit.progress import bar
from refit.storage.arrow import Rows

Batch = npt.NDArray[np.int64]  # the places of its rows
CHECKED = 8  # of so many batches one is computed again to tell whether known answers hold


@dataclass(frozen=True)
class Inference:
    """A model and all that decides its answers: how rows become batches, and the number format."""

    model: PreTrainedModel
    collate: Collator
    batch_size: int
    number: device.Format

    def logits(self, rows: Rows, desc: str) -> Values:
        """The model's raw outputs (rows, labels) for every row, in the order of `rows`, under a progress bar."""
        with bar(total=len(rows), desc=desc) as progress:
            return self.answers(rows, progress)

    def answers(self, rows: Rows, progress: "tqdm[Any]") -> Values:
        """As `logits`, moving a bar that is already there."""
        batches = self._batches(rows)
        result = np.empty((len(rows), self.model.config.num_labels), dtype=np.float32)
        with self._computed(rows, batches, len(batches)) as computed:
            for chosen, values in computed:
                result[chosen] = values
                progress.update(len(chosen))
        return result

    def holds(self, known: Values, rows: Rows) -> bool:
        """Whether known answers are what the model answers here, bit for bit, by the last batch and every 8th before.

        An eighth of the work: the answers of a model are the same or they differ all over.
        """
        if known.shape != (len(rows), self.model.config.num_labels):
            return False
        batches = self._batches(rows)
        with self._computed(rows, batches[::-CHECKED], len(batches)) as computed:
            return all(np.array_equal(known[chosen], values) for chosen, values in computed)

    def _batches(self, rows: Rows) -> list[Batch]:
        order = by_length(rows)
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    @contextmanager
    def _computed(self, rows: Rows, batches: list[Batch], of_batches: int) -> Iterator[Iterator[tuple[Batch, Values]]]:
        """Each batch with its answers, in order.

        As many threads work on a batch as if all `of_batches` were computed: other numbers of threads, other bits.
        """
        place = device.device()
        model = self.model.to(place).eval()
        examples = Examples(rows)

        def of_batch(chosen: Batch) -> Values:
            batch = self.collate([examples[int(index)] for index in chosen])
            del batch["labels"]
            with torch.inference_mode(), device.autocast(self.number):
                output = model(**{name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()})
            found: Values = output.logits.float().cpu().numpy()
            return found

        threads = torch.get_num_threads()
        at_once = max(1, min(threads, of_batches)) if place.type == "cpu" else 1
        # Threads of Python will do: torch lets go of Python's lock while it computes.
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
            try:
                yield zip(batches, pool.map(of_batch, batches), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)  # whoever asks to stop does not wait for every batch
                torch.set_num_threads(threads)  # new threads begin with the number set last, wherever it was


def probabilities(values: Values) -> Values:
    """The softmax of logits (rows, labels), computed in float64 so that rows sum to one."""
    shifted = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
    result: Values = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result
