"""Arithmetic on sizes that may be symbolic, as they are while a graph for many sizes is recorded."""


def doublings(n: int) -> int:
    """The number of times that 1 has to be doubled to reach n.

    Compares where `bit_length` would fix the size: a recorded graph then serves all sizes between two powers of two.

    >>> [doublings(n) for n in (0, 1, 2, 5, 8)]
    [0, 0, 1, 3, 3]
    """
    count = 0
    while (1 << count) < n:
        count += 1
    return count
