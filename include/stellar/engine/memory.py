"""What an object remembers of its own work, and only as long as it lives.

`functools.cache` on a method keeps every object that it was called on, and `lru_cache` around a bound method makes a
cycle that waits for the garbage collector: with tables in it, that is gigabytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The last few values by key; one that is pushed out goes before the next is made."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made where it is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        while len(self._values) >= self.most:
            self._values.popitem(last=False)
        value = self._values[key] = make()
        return value


def remembered(method: Callable[..., T]) -> Callable[..., T]:
    """A method that is called once for the same arguments of the same object."""

    @wraps(method)
    def once(self: Any, *arguments: Hashable) -> T:
        memory: dict[Hashable, T] = self.__dict__.setdefault("_remembered", {})
        key = (method.__name__, *arguments)
        if key not in memory:
            memory[key] = method(self, *arguments)
        return memory[key]

    return once
