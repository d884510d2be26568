"""Whether the engine's ids are those of the model's own tokenizer, on a sample of the rows that go by."""

from concurrent.futures import ThreadPoolExecutor

from refit.tokens.encode import Encoded, Engine, Reference


class EnginesDifferError(Exception):
    """The fast engine gave other ids than the model's own tokenizer."""


class CheckedEngine:
    """An engine of which every stride-th row of each batch is compared, and the odd ones as they turn up.

    Odd are the longest row so far, the shortest, and of each batch the first that is not ASCII.
    """

    def __init__(self, engine: Engine, reference: Reference, stride: int) -> None:
        self.engine = engine
        self.reference = reference
        self.stride = stride
        self.longest = -1
        self.shortest = float("inf")

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As the engine's encode; raises EnginesDifferError where its ids are not the tokenizer's own."""
        if self.engine is self.reference:
            return self.engine.encode(texts, pairs)
        rows = self._rows_to_check(texts, pairs)
        some = [texts[row] for row in rows], None if pairs is None else [pairs[row] for row in rows]
        with ThreadPoolExecutor(1) as beside:  # neither engine holds Python's lock while it works
            expected = beside.submit(self.reference.encode, *some)
            encoded = self.engine.encode(texts, pairs)
            if not expected.result().equals(encoded.take(rows)):
                raise EnginesDifferError
        return encoded

    def _rows_to_check(self, texts: list[str], pairs: list[str] | None) -> list[int]:
        chosen = set(range(0, len(texts), self.stride))
        for column in (texts, pairs or []):
            if not column:
                continue
            lengths = [len(text) for text in column]
            longest, shortest = max(lengths), min(lengths)
            if longest > self.longest:
                self.longest = longest
                chosen.add(lengths.index(longest))
            if shortest < self.shortest:
                self.shortest = shortest
                chosen.add(lengths.index(shortest))
            chosen.add(next((row for row, text in enumerate(column) if not text.isascii()), 0))
        return sorted(chosen)
