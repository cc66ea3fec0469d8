"""Pairing rows with columns at the least total cost.

Source: Kuhn 1955, "The Hungarian method for the assignment problem"; here by shortest augmenting
paths with potentials (Jonker and Volgenant 1987), cubic in the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def assign(costs: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """As many pairs (row, column) as there can be, and of those the cheapest, by row.

    ``costs``: finite and not negative; None where a pair is impossible. Equal costs are settled
    the same way every time.
    """
    rows = len(costs)
    columns = len(costs[0]) if rows else 0
    if not rows or not columns:
        return []
    dearest = max((c for row in costs for c in row if c is not None), default=0.0)
    # A row takes its own dummy column only when that lets no other pair in its place.
    alone = (dearest + 1.0) * (rows + 1)
    matrix = np.full((rows, columns + rows), np.inf)
    for i, row in enumerate(costs):
        matrix[i, :columns] = [np.inf if c is None else c for c in row]
        matrix[i, columns + i] = alone
    taken_by = _cheapest(matrix)
    return sorted((int(i), j) for j, i in enumerate(taken_by[:columns]) if i >= 0)


def _cheapest(matrix: np.ndarray) -> np.ndarray:
    """The row of each column, or -1, in the cheapest assignment of every row."""
    rows, columns = matrix.shape
    of_row, of_column = np.zeros(rows), np.zeros(columns)  # potentials
    taken_by = np.full(columns, -1)
    for new in range(rows):
        distance = np.full(columns, np.inf)
        came_from = np.full(columns, -1)
        done = np.zeros(columns, dtype=bool)
        row, column = new, -1
        while True:
            base = 0.0 if column < 0 else distance[column]
            through = base + matrix[row] - of_row[row] - of_column
            better = ~done & (through < distance)
            distance[better], came_from[better] = through[better], column
            column = int(np.where(done, np.inf, distance).argmin())
            done[column] = True
            if taken_by[column] < 0:
                break
            row = int(taken_by[column])
        length = distance[column]
        of_row[new] += length
        for other in np.flatnonzero(done):
            if other != column:
                of_row[taken_by[other]] += length - distance[other]
            of_column[other] -= length - distance[other]
        while column >= 0:
            before = int(came_from[column])
            taken_by[column] = new if before < 0 else taken_by[before]
            column = before
    return taken_by
