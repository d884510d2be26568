"""Work on the next item in a thread while this one is used: reading overlaps with computing."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items in the same order, one being made ahead; the first is begun at once.

    An exception of `items` is raised where its item would have come.
    """
    iterator = iter(items)
    thread = ThreadPoolExecutor(1)
    return _rest(thread, iterator, thread.submit(next, iterator, _END))


def _rest(thread: ThreadPoolExecutor, iterator: Iterator[Item], coming: "Future[object]") -> Iterator[Item]:
    with thread:
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield cast(Item, item)
