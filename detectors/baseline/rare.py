"""Which labels come again: what the reference says of labels that are too rare for a bin.

A column whose labels have an endless tail (identifiers, free text, versions) brings new labels for ever, and as many of
them as the reference brought. Whoever counts all labels of the reference as known finds fewer known and more unknown
ones in every later stretch, although nothing has changed. So the reference is counted as its own future: what only one
stretch of it holds would have been unseen to who had learnt from the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

STRETCHES = 20
"""A reference is cut into so many; each label is judged by the others."""

ROWS_OF_A_BIN = 10
"""A label of a column with more labels than bins needs so many rows for one of its own."""


def with_bins(ranked: Sequence[str], rows: Mapping[str, int], most: int) -> Sequence[str]:
    """Return the labels that get a bin of their own.

    Parameters
    ----------
    ranked : sequence of str
        All labels, most frequent first.
    rows : mapping of str to int
        The rows of each.
    most : int
        How many bins there are.

    Returns
    -------
    sequence of str
        All labels if there are bins for them. Otherwise the most frequent ones of at least ``ROWS_OF_A_BIN`` rows, and
        at least one: those of few rows are among the first by luck, and will not be as frequent again.
    """
    if len(ranked) <= most:
        return ranked
    return [label for i, label in enumerate(ranked[:most]) if i == 0 or rows[label] >= ROWS_OF_A_BIN]


def met_again(labels: Sequence[str], codes: NDArray[np.int64], block_of_row: NDArray[np.int64]) -> frozenset[str]:
    """Return the labels that more than one stretch of the reference holds.

    Parameters
    ----------
    labels : sequence of str
        What the codes mean; a text may stand there more than once.
    codes : ndarray of int64, shape (n_rows,)
        The label of each row; negative for rows without one.
    block_of_row : ndarray of int64, shape (n_rows,)
        The block of each row, from 0 on, not decreasing.

    Returns
    -------
    frozenset of str
        Of a reference of one block, the labels of more than one row.

    Notes
    -----
    The share of rows whose label is in no other of ``k`` stretches estimates how much of a new stretch is unseen after
    ``k - 1`` of them, which is the leave-one-out form of Good and Turing's estimate (1953) for rows that come in
    stretches. Takes time and memory that grow with the rows.

    Examples
    --------
    >>> codes = np.array([0, 1, 0, 2, 2, 0])
    >>> sorted(met_again(("a", "b", "c"), codes, np.array([0, 0, 0, 1, 1, 1])))
    ['a']
    >>> sorted(met_again(("a", "b", "c"), codes, np.zeros(6, dtype=np.int64)))
    ['a', 'c']
    """
    index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    valued = codes >= 0
    own = np.fromiter((index[label] for label in labels), np.int64, len(labels))[codes[valued]]
    blocks = int(block_of_row[-1]) + 1
    stretches = min(blocks, STRETCHES)
    if stretches == 1:
        pairs = own
    else:
        stretch = block_of_row[valued] * stretches // blocks
        pairs = np.unique(own * stretches + stretch) // stretches
    number = np.bincount(pairs, minlength=len(index))
    return frozenset(label for label, i in index.items() if number[i] > 1)
