"""Padded batches of tensors from rows of token ids, and the order of rows in training and inference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from refit.storage.arrow import Rows

Example = tuple[npt.NDArray[np.int32], Any, int]  # token ids, label, how many of the ids have token type 0
GROUP_BATCHES = 50  # batches whose rows are sorted by length together


@dataclass(frozen=True, eq=False)
class Examples(Dataset[Example]):
    """Rows as a torch dataset, for the Trainer's data loaders."""

    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        ids = self.rows.ids(index)
        first = len(ids) if self.rows.first_length is None else int(self.rows.first_length[index])
        return ids, self.rows.label[index], first


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Pads examples to `width` tokens, or to the longest of a batch, and builds a model's (rows, width) int64 tensors.

    The width is rounded up to a multiple of `multiple`: 8 suits a GPU's tensor cores.
    """

    pad_id: int
    token_types: bool
    width: int | Literal["longest"] = "longest"
    multiple: int = 1

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """The tensors of a batch: input_ids, attention_mask, token_type_ids if the model takes them, and labels."""
        lengths = np.fromiter((len(ids) for ids, _, _ in examples), np.int64, len(examples))
        width = int(lengths.max()) if self.width == "longest" else self.width
        width = -(-width // self.multiple) * self.multiple
        positions = np.arange(width)
        mask = positions < lengths[:, None]
        input_ids = np.full((len(examples), width), self.pad_id, dtype=np.int64)
        input_ids[mask] = np.concatenate([ids for ids, _, _ in examples])
        batch = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
        if self.token_types:
            first = np.fromiter((first for _, _, first in examples), np.int64, len(examples))
            types = ((positions >= first[:, None]) & mask).astype(np.int64)
            batch["token_type_ids"] = torch.from_numpy(types)
        labels = np.stack([label for _, label, _ in examples])
        return {**batch, "labels": torch.from_numpy(labels)}


@dataclass(eq=False)
class LengthGroupedSampler(Sampler[int]):
    """Batches of similar lengths in random order, which depends only on the seed and the epoch.

    Rows are shuffled and split into groups of fifty batches; each group is sorted by length, and all batches are
    shuffled again. An incomplete one comes last, so that the data loader splits at the same rows. The Trainer's own
    sampler has no seed and no epoch, so that a resumed run gets another order.
    """

    lengths: npt.NDArray[np.int64]
    batch_size: int
    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; the data loader calls this before it starts one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(len(self.lengths))
        group = self.batch_size * GROUP_BATCHES
        grouped = [order[start : start + group] for start in range(0, len(order), group)]
        order = np.concatenate([part[np.argsort(-self.lengths[part], kind="stable")] for part in grouped])
        complete = len(order) // self.batch_size * self.batch_size
        batches = order[:complete].reshape(-1, self.batch_size)
        generator.shuffle(batches)
        yield from batches.ravel().tolist()
        yield from order[complete:].tolist()


def by_length(rows: Rows) -> npt.NDArray[np.int64]:
    """The order of rows from longest to shortest: little padding, and a lack of memory shows in the first batch."""
    return np.argsort(-rows.length, kind="stable")
