"""Repeated rows, leaks between splits and contradicting labels."""

from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.data import checks
from refit.data.checks import HashedSplit

Rows = list[tuple[str, int]]


def hashed(splits: dict[str, Rows], hidden: str = "") -> dict[str, HashedSplit]:
    """The splits of the given rows, all labelled but `hidden`."""
    found = {}
    for name, rows in splits.items():
        texts, labels = pa.array([t for t, _ in rows], pa.string()), pa.array([n for _, n in rows], pa.int64())
        batches = pa.table({"text": texts, "label": labels}).to_batches()
        found[name] = checks.hashed(batches, labelled=name != hidden)
    return found


def test_each_kind_of_fault_is_found_where_it_is() -> None:
    """Prevents scores that are inflated by a leak that nobody noticed."""
    splits = hashed(
        {
            "train": [("a", 0), ("b", 1), ("a", 0), ("c", 1), ("", 0)],
            "validation": [("b", 0), ("d", 1)],
            "test": [("a", 0), ("d", 1), ("e", 0)],
        },
    )
    found = checks.check(splits, examples=5)
    assert found.repeated == {"train": 1, "validation": 0, "test": 0}
    assert found.shared == {("train", "validation"): 1, ("train", "test"): 1, ("validation", "test"): 1}
    assert (found.contradicting_texts, found.contradicting_rows) == (1, 2)
    assert found.contradictions == [[("train", 1), ("validation", 0)]]
    assert found.empty == {"train": 1, "validation": 0, "test": 0}


def test_hidden_labels_contradict_nothing() -> None:
    """Prevents every text that train shares with GLUE's test split, labels all -1, from looking mislabelled."""
    splits = hashed({"train": [("a", 0)], "test": [("a", -1)]}, hidden="test")
    found = checks.check(splits, examples=5)
    assert found.contradicting_texts == 0
    assert found.shared == {("train", "test"): 1}


def test_pairs_are_the_same_only_if_both_texts_are_and_in_this_order() -> None:
    """Prevents a question with two different answers from counting as a repeated row."""
    table = pa.table({"text": ["a", "a", "b", "a"], "text_pair": ["b", "c", "a", "b"], "label": [0, 1, 1, 1]})
    found = checks.check({"train": checks.hashed(table.to_batches(), labelled=True)}, examples=5)
    assert found.repeated == {"train": 1}
    assert found.contradictions == [[("train", 0), ("train", 3)]]


rows = st.lists(st.tuples(st.text("ab", max_size=2), st.integers(0, 2)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(train=rows, test=rows)
def test_counts_are_those_of_the_plain_definition(train: Rows, test: Rows) -> None:
    """Prevents vectorized counts that differ from counting by hand."""
    found = checks.check(hashed({"train": train, "test": test}), examples=3)
    texts = [text for text, _ in train]
    assert found.repeated["train"] == len(texts) - len(set(texts))
    assert found.shared["train", "test"] == sum(text in set(texts) for text, _ in test)
    together = [*train, *test]
    counted = Counter(text for text, _ in set(together))
    mixed = {text for text, labels in counted.items() if labels > 1}
    assert found.contradicting_texts == len(mixed)
    assert found.contradicting_rows == sum(text in mixed for text, _ in together)
    for places in found.contradictions:
        at = [(train if split == "train" else test)[row] for split, row in places]
        assert len({text for text, _ in at}) == 1
        assert len({label for _, label in at}) > 1
