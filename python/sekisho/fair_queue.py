"""Serves several owners fairly: items that wait (``FairQueue``) and items that are processed (``Shares``).

A path names an owner, outermost level first: account, certificate, connection. Owners of one level have equal shares,
however many items each has. Neither class locks: callers do.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Path = Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Overflow(Generic[T]):
    """An item that was refused or removed, since a bound was exceeded.

    Attributes:
        path: Its owner.
        item: The item.
        level: The level of the bound: 0 the whole queue, 1 the outermost owner (an account), and so on.
    """

    path: tuple[Hashable, ...]
    item: T
    level: int


class FairQueue(Generic[T]):
    """A bounded queue that serves owners in turn.

    ``take`` serves the accounts that have items in turn, one item each; within an account its certificates in turn, and
    so on. The items of an innermost owner are taken in the order in which they were put. So an account waits for at
    most one item of each other account before each of its own.

    Bounds apply to the sum of the ``size`` of the items that wait. When a new item exceeds a bound, an owner that
    would still hold as much as the new item's owner loses its newest items; if there is none, the new item is refused.
    So no owner that holds less than an equal share is refused because others fill the queue.

    Args:
        bounds: The largest size of the whole queue, of one outermost owner, of one owner of the next level, and so on:
            one more than a path has members.
    """

    def __init__(self, *bounds: int) -> None:
        if len(bounds) < 2:
            raise ValueError("a queue has a bound for itself and one for each level of owners")
        self._bounds = bounds
        self._root: _Owners[T] = _Owners()
        self._count = 0

    def put(self, path: Path, item: T, size: int = 1) -> list[Overflow[T]]:
        """Add an item; return the items that are over the bounds.

        Empty: the item was added. The item itself: it was refused, and nothing else changed. Otherwise the item was
        added and the returned items were removed.

        Args:
            path: The owner.
            item: Anything.
            size: What the item counts against the bounds, 1 or more.
        """
        path = tuple(path)
        if size < 1:
            raise ValueError(f"the size of an item is 1 or more, not {size}")
        if len(path) != len(self._bounds) - 1:
            raise ValueError(f"an owner of this queue has {len(self._bounds) - 1} names, not {len(path)}")
        self._root.add(path, (item, size))
        self._count += 1
        given_up: list[tuple[Overflow[T], int]] = []
        while (level := self._exceeded(path)) is not None:
            victim = self._victim(path, level)
            entry = self._root.drop_newest(victim)
            self._count -= 1
            if victim == path:
                for overflow, its_size in reversed(given_up):
                    self._root.add(overflow.path, (overflow.item, its_size))
                    self._count += 1
                return [Overflow(path, item, level)]
            given_up.append((Overflow(victim, entry[0], level), entry[1]))
        return [overflow for overflow, _ in given_up]

    def take(self, may: Callable[[Hashable], bool] = lambda _owner: True) -> tuple[tuple[Hashable, ...], T] | None:
        """Remove the next item from the queue; return its path and the item, or None where there is none.

        Args:
            may: Whether an item of this outermost owner may be taken now. An owner that may not keeps its turn.
        """
        for owner in self._root.children:
            if may(owner):
                path, (item, _) = self._root.take(owner)
                self._count -= 1
                return path, item
        return None

    def remove(self, path: Path, item: T) -> bool:
        """Remove an item. False where it is not in the queue."""
        removed = self._root.remove(tuple(path), item)
        self._count -= removed
        return removed

    def clear(self) -> None:
        """Remove all items."""
        self._root = _Owners()
        self._count = 0

    def __len__(self) -> int:
        """Return the number of items that wait."""
        return self._count

    def size(self, path: Path = ()) -> int:
        """Return the size of an owner's items; with an empty path that of the whole queue."""
        node = self._root.find(tuple(path))
        return 0 if node is None else node.size

    def owners(self) -> Iterator[Hashable]:
        """Return the outermost owners that have items, in the order of their turns."""
        return iter(self._root.children)

    def _exceeded(self, path: tuple[Hashable, ...]) -> int | None:
        """Return the outermost level whose bound is exceeded by the owner of ``path``."""
        return next((level for level, bound in enumerate(self._bounds) if self.size(path[:level]) > bound), None)

    def _victim(self, path: tuple[Hashable, ...], level: int) -> tuple[Hashable, ...]:
        """Return the owner that loses its newest item, because ``level`` exceeds its bound."""
        while isinstance(node := self._root.find(path[:level]), _Owners):
            largest = node.largest()
            child = node.children[largest]
            below, newest_size = child.newest_of_largest()
            if child.size - newest_size >= node.children[path[level]].size:
                return (*path[:level], largest, *below)
            level += 1
        return path


class _Lane(Generic[T]):
    """The items of one innermost owner, with their sizes."""

    __slots__ = ("items", "size")

    def __init__(self) -> None:
        self.items: deque[tuple[T, int]] = deque()
        self.size = 0

    def find(self, _path: tuple[Hashable, ...]) -> _Lane[T]:
        return self

    def add(self, _path: tuple[Hashable, ...], entry: tuple[T, int]) -> None:
        self.items.append(entry)
        self.size += entry[1]

    def newest_of_largest(self) -> tuple[tuple[Hashable, ...], int]:
        return (), self.items[-1][1]

    def drop_newest(self, _path: tuple[Hashable, ...]) -> tuple[T, int]:
        entry = self.items.pop()
        self.size -= entry[1]
        return entry

    def take_first(self) -> tuple[tuple[Hashable, ...], tuple[T, int]]:
        entry = self.items.popleft()
        self.size -= entry[1]
        return (), entry

    def remove(self, _path: tuple[Hashable, ...], item: T) -> bool:
        for index, (each, size) in enumerate(self.items):
            if each is item:
                del self.items[index]
                self.size -= size
                return True
        return False


class _Owners(Generic[T]):
    """Owners of one level that have items, in the order of their turns."""

    __slots__ = ("children", "size")

    def __init__(self) -> None:
        self.children: OrderedDict[Hashable, _Owners[T] | _Lane[T]] = OrderedDict()
        self.size = 0

    def find(self, path: tuple[Hashable, ...]) -> _Owners[T] | _Lane[T] | None:
        """Return the node of an owner below; None where it has no items."""
        if not path:
            return self
        child = self.children.get(path[0])
        return None if child is None else child.find(path[1:])

    def largest(self) -> Hashable:
        """Return the child with the largest size."""
        return max(self.children, key=lambda name: self.children[name].size)

    def add(self, path: tuple[Hashable, ...], entry: tuple[T, int]) -> None:
        child = self.children.get(path[0])
        if child is None:
            child = self.children[path[0]] = _Owners() if len(path) > 1 else _Lane()
        child.add(path[1:], entry)
        self.size += entry[1]

    def newest_of_largest(self) -> tuple[tuple[Hashable, ...], int]:
        """Return the path below this node to the owner with the largest size, and the size of its newest item."""
        largest = self.largest()
        below, size = self.children[largest].newest_of_largest()
        return (largest, *below), size

    def drop_newest(self, path: tuple[Hashable, ...]) -> tuple[T, int]:
        child = self.children[path[0]]
        entry = child.drop_newest(path[1:])
        self._shrunk(path[0], child, entry[1])
        return entry

    def take(self, name: Hashable) -> tuple[tuple[Hashable, ...], tuple[T, int]]:
        """Remove the next item of one child and end the child's turn; return the path and the item."""
        child = self.children[name]
        below, entry = child.take_first()
        self.children.move_to_end(name)
        self._shrunk(name, child, entry[1])
        return (name, *below), entry

    def take_first(self) -> tuple[tuple[Hashable, ...], tuple[T, int]]:
        return self.take(next(iter(self.children)))

    def remove(self, path: tuple[Hashable, ...], item: T) -> bool:
        child = self.children.get(path[0])
        if child is None:
            return False
        before = child.size
        if not child.remove(path[1:], item):
            return False
        self._shrunk(path[0], child, before - child.size)
        return True

    def _shrunk(self, name: Hashable, child: _Owners[T] | _Lane[T], size: int) -> None:
        self.size -= size
        if child.size == 0:
            del self.children[name]


class Shares:
    """The shares of owners in a number of equal places, such as threads.

    An owner may take a place while it holds fewer than are free. So one owner alone gets half of them, two get a third
    each, and a place is left for one more owner as long as there are fewer owners than places.

    Args:
        places: The number of places.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._held: Counter[Hashable] = Counter()
        self._free = places

    @property
    def free(self) -> int:
        """Places that are free."""
        return self._free

    def held(self, owner: Hashable) -> int:
        """Return the number of places that an owner holds."""
        return self._held[owner]

    def may(self, owner: Hashable) -> bool:
        """Return whether this owner may take a place now."""
        return self._held[owner] < self._free

    def take(self, owner: Hashable) -> None:
        """Take a place. Raises ValueError where all are taken."""
        if self._free == 0:
            raise ValueError("all places are taken")
        self._free -= 1
        self._held[owner] += 1

    def give_back(self, owner: Hashable) -> None:
        """Give a place back. Raises ValueError where this owner holds none."""
        if self._held[owner] == 0:
            raise ValueError(f"{owner!r} holds no place")
        self._free += 1
        self._held[owner] -= 1
        if self._held[owner] == 0:
            del self._held[owner]
