"""Special tokens and pairs: the special tokens of each kind of tokenizer, and the truncation of pairs."""

from pathlib import Path

import pytest
from hard_texts import BYTE_PAIR, WORDPIECE, byte_pair, wordpiece
from tokenizers import Tokenizer

from refit.tokenization import special_tokens


@pytest.mark.parametrize("kind", [*WORDPIECE, *BYTE_PAIR])
def test_the_frame_is_that_of_the_tokenizer(tmp_path: Path, kind: str) -> None:
    """Prevents RoBERTa's pairs, all of type 0 with two special tokens between, from being joined as BERT's."""
    tokenizer = Tokenizer.from_buffer(wordpiece(kind, tmp_path) if kind in WORDPIECE else byte_pair(kind))
    tokenizer.enable_truncation(4)  # as in a Reference; it must not truncate the frame
    frame = special_tokens.around_pair(tokenizer)
    before, after = special_tokens.around_text(tokenizer)
    tokenizer.no_truncation()
    good = tokenizer.encode("good", add_special_tokens=False).ids
    bad = tokenizer.encode("bad", add_special_tokens=False).ids
    assert tokenizer.encode("good").ids == [*before, *good, *after]
    pair = tokenizer.encode("good", "bad")
    assert pair.ids == [*frame.begin, *good, *frame.middle, *bad, *frame.end]
    of_first = len(pair.ids) if frame.of_first is None else frame.of_first + len(good)
    assert pair.type_ids == [int(place >= of_first) for place in range(len(pair.ids))]
