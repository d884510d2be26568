"""What is kept of a text that is longer than max_length: `long_texts` in params.yaml.

head: the first tokens; the engines truncate. head_tail: the first quarter and the last three quarters of max_length,
as in C. Sun et al., "How to Fine-Tune BERT for Text Classification?" (2019). windows: every token; each
window is a row, and the logits of a text are the mean over its windows (refit/model/inference.py).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refit.params import LongTexts
from refit.tokenization import special_tokens
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded, Ids, Offsets, offsets, places

HEAD = 0.25  # of the tokens that head_tail keeps, those from the start of the text
OVERLAP = 0.25  # of a window, the tokens that the window before it has too, at least


@dataclass(frozen=True)
class Cutter:
    """Cuts encoded texts into rows of at most `max_length` tokens, with the special ids `before` and `after` around."""

    how: LongTexts
    max_length: int
    before: list[int]
    after: list[int]

    @classmethod
    def of(cls, how: LongTexts, reference: Reference) -> "Cutter":
        """The cutter for a tokenizer."""
        around = ([], []) if how == "head" else special_tokens.around_text(reference.tokenizer)
        return cls(how, reference.max_length, *around)

    def rows(self, encoded: Encoded) -> tuple[Encoded, Offsets]:
        """The rows of encoded texts, and the index of each row's text. Only windows give a text several rows.

        For head, the engine has truncated the texts; otherwise they are complete, without special tokens.
        """
        if self.how == "head":
            return encoded, np.arange(len(encoded))
        room = self.max_length - len(self.before) - len(self.after)
        if self.how == "head_tail":
            encoded = head_tail(encoded, room)
        text, begin = windows(encoded.lengths, room)
        count = np.minimum(encoded.lengths, room)[text].astype(np.int64)
        return special_tokens.frame(encoded, encoded.offsets[text] + begin, count, self.before, self.after), text


def head_tail(encoded: Encoded, room: int) -> Encoded:
    """The texts without their middle, of at most `room` tokens each."""
    head = int(np.ceil(HEAD * room))
    lengths = encoded.lengths
    place = places(np.zeros_like(lengths), lengths)
    is_kept = (place < head) | (place >= np.repeat(lengths - (room - head), lengths))
    return Encoded(encoded.ids[is_kept], offsets(np.minimum(lengths, room)), None)


def windows(lengths: Ids, room: int) -> tuple[Offsets, npt.NDArray[np.int64]]:
    """The text of each window and its first token there: as few full windows of `room` tokens as cover the text."""
    step = room - int(OVERLAP * room)
    last = np.maximum(lengths.astype(np.int64) - room, 0)  # the first token of the last window
    counts = 1 - (-last // step)
    text = np.repeat(np.arange(len(lengths)), counts)
    return text, np.minimum(places(np.zeros_like(counts), counts) * step, last[text])
