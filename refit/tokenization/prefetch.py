"""Work on the next items in a thread while this one is used: reading overlaps with computing."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield the same items in the same order, `depth` of them being made ahead; the first is begun at once.

    An exception of `items` is raised where its item would have come.
    """
    iterator = iter(items)
    thread = ThreadPoolExecutor(1)
    return _rest(thread, iterator, deque(thread.submit(next, iterator, _END) for _ in range(depth)))


def _rest(thread: ThreadPoolExecutor, iterator: Iterator[Item], coming: "deque[Future[object]]") -> Iterator[Item]:
    with thread:
        while (item := coming.popleft().result()) is not _END:
            coming.append(thread.submit(next, iterator, _END))
            yield cast(Item, item)
