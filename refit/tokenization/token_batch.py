"""A batch of tokenized texts, with the token ids of all texts in one buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """Token ids of n texts or pairs, special tokens included, truncated, not padded.

    Row i is `ids[offsets[i]:offsets[i + 1]]`. For pairs its first `first_lengths[i]` ids have token type 0 and the
    rest have type 1; None for single texts, which are all of type 0.
    """

    ids: Ids
    offsets: Offsets
    first_lengths: Ids | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ids:
        """The number of tokens of each row."""
        return np.diff(self.offsets).astype(np.int32)

    def take(self, rows: Sequence[int]) -> "Encoded":
        """The given rows, in the given order."""
        chosen = np.asarray(rows, dtype=np.intp)
        first = None if self.first_lengths is None else self.first_lengths[chosen]
        lengths = self.lengths[chosen]
        return Encoded(self.ids[places(self.offsets[chosen], lengths)], offsets(lengths), first)

    def equals(self, other: "Encoded") -> bool:
        """Whether ids, row lengths and token types are the same."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in vars(self))


def places(begin: Offsets, counts: Ids | Offsets) -> Offsets:
    """The indices of `counts[i]` items from `begin[i]` on, for every row i."""
    ends = np.cumsum(counts, dtype=np.int64)
    return np.repeat(begin - (ends - counts), counts) + np.arange(counts.sum())


def offsets(lengths: Sequence[int] | Ids | Offsets) -> Offsets:
    """The index of each row's first id, and the number of all ids."""
    return np.cumsum(np.concatenate([[0], lengths]), dtype=np.int64)
