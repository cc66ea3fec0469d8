"""Which detections of consecutive frames are one face.

Everything here is local in time: whether two detections are linked depends only on the frames
between them and on :data:`GAP_FRAMES` frames around. So a stretch of film may be cut into segments
anywhere, as long as each sees that many frames beyond its ends.

Detections of neighbouring frames are linked at the least total cost; the cost is how far a face
is from where the picture's own motion takes it. What is left over is bridged across short gaps
between mutual best partners.

Source of the assignment: Kuhn 1955, "The Hungarian method for the assignment problem"; here by
shortest augmenting paths with potentials (Jonker and Volgenant 1987), cubic in the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.motion import Path, compose, moved_box
from restore_batch.stages.geometry import invert, transform

GAP_FRAMES = 5
"""Most missing detections in a row that are filled."""

LONE_SCORE = 0.9
"""A detection that no neighbouring frame confirms is dropped below this score: restored in a
single frame it would flash. A surer one stays, and so does one that is alone in its shot's only
frame."""

_MOST_APART = 0.5  # landmarks, in sides of the face
_MOST_SIZE_RATIO = 1.6
_LEAST_OVERLAP = 0.1
_OVERLAP_WEIGHT = 0.5
_LIKENESS_WEIGHT = 0.5
_LEAST_LIKENESS = 0.0
_GAP_COST = 0.02  # a frame: of two partners as good, the nearer

_Node = tuple[int, int]  # frame, index of the face within it


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face of one frame and what it belongs to.

    ``track``: equal for the same face of other frames; the number itself says nothing and holds
    for one call. ``filled``: interpolated, where the detector found nothing. ``step``: (2, 3)
    float64, the motion of the picture at this face to the next frame of its track, None where
    the track ends or the motion is not known.
    """

    face: Face
    track: int
    filled: bool = False
    step: np.ndarray | None = None


Tracks = tuple[tuple[TrackedFace, ...], ...]


def link_faces(
    faces: Sequence[Sequence[Face]],
    cuts: Sequence[bool],
    paths: Sequence[Sequence[Path]] | None = None,
    embeddings: Sequence[Sequence[np.ndarray | None]] | None = None,
) -> Tracks:
    """The faces of each frame with the track of each, gaps filled.

    ``faces``: those of each frame. ``cuts``: for each frame whether it begins a new shot; no
    track runs across. ``paths``: where the picture takes each face
    (:class:`restore_batch.stages.faces.steady.motion.FaceFollower`); without, it is taken to stay
    where it is. ``embeddings``: unit vectors that tell people apart, None for a face without.

    Out: for each frame its detections in their order, then the filled faces by falling size. A
    gap of up to :data:`GAP_FRAMES` is filled when the face at its end is where the one at its
    beginning would have gone; the filled faces follow the picture, and what is then left of the
    difference is spread evenly. A lone uncertain detection is dropped (:data:`LONE_SCORE`).
    Raises ValueError where the sequences differ in length.
    """
    view = _View(faces, cuts, paths, embeddings)
    links = _neighbours(view)
    links |= _bridges(view, links)
    return _collect(view, links)


class _View:
    """The arguments of :func:`link_faces`, checked, and what they say of two detections."""

    def __init__(
        self,
        faces: Sequence[Sequence[Face]],
        cuts: Sequence[bool],
        paths: Sequence[Sequence[Path]] | None,
        embeddings: Sequence[Sequence[np.ndarray | None]] | None,
    ) -> None:
        counts = [len(some) for some in faces]
        if len(cuts) != len(counts):
            raise ValueError(f"{len(cuts)} cuts for {len(counts)} frames")
        for name, given in (("paths", paths), ("embeddings", embeddings)):
            if given is not None and [len(some) for some in given] != counts:
                raise ValueError(f"{name} are not parallel to faces")
        self.faces, self.cuts, self._paths, self._embeddings = faces, cuts, paths, embeddings

    def __len__(self) -> int:
        return len(self.faces)

    def face(self, node: _Node) -> Face:
        return self.faces[node[0]][node[1]]

    def path(self, node: _Node, frames: int) -> Path | None:
        """The matrices to each of the next ``frames`` frames, or None where not all are known."""
        if self._paths is None:
            return None
        path = self._paths[node[0]][node[1]]
        return path[:frames] if len(path) >= frames else None

    def cost(self, before: _Node, after: _Node) -> float | None:
        """How badly two detections agree, or None when they cannot be one face."""
        one, other = self.face(before), self.face(after)
        path = self.path(before, after[0] - before[0])
        landmarks, box = one.landmarks_xy, np.array(one.box_xyxy)
        if path is not None:
            landmarks, box = transform(path[-1], landmarks), moved_box(box, path[-1])
        sizes = max(one.side_px, 1e-6), max(other.side_px, 1e-6)
        apart = float(np.hypot(*(landmarks - other.landmarks_xy).T).mean())
        distance = apart / (sizes[0] * sizes[1]) ** 0.5
        overlap = _overlap(box, np.array(other.box_xyxy))
        if (
            not distance < _MOST_APART  # also when it is not a number
            or max(sizes) > _MOST_SIZE_RATIO * min(sizes)
            or overlap < _LEAST_OVERLAP
        ):
            return None
        cost = distance + _OVERLAP_WEIGHT * (1 - overlap)
        likeness = self._likeness(before, after)
        if likeness is None:
            return cost
        return None if likeness < _LEAST_LIKENESS else cost + _LIKENESS_WEIGHT * (1 - likeness)

    def _likeness(self, before: _Node, after: _Node) -> float | None:
        if self._embeddings is None:
            return None
        one = self._embeddings[before[0]][before[1]]
        other = self._embeddings[after[0]][after[1]]
        return None if one is None or other is None else float(one @ other)


def _neighbours(view: _View) -> dict[_Node, _Node]:
    """Links from one frame to the next."""
    links: dict[_Node, _Node] = {}
    for t in range(len(view) - 1):
        if view.cuts[t + 1]:
            continue
        costs = [
            [view.cost((t, i), (t + 1, j)) for j in range(len(view.faces[t + 1]))]
            for i in range(len(view.faces[t]))
        ]
        for i, j in assign(costs):
            links[t, i] = (t + 1, j)
    return links


def _bridges(view: _View, links: dict[_Node, _Node]) -> dict[_Node, _Node]:
    """Links across gaps, between partners that are each the best of the other. Best overall
    would let a choice here depend on faces any number of frames away."""
    reached = set(links.values())
    forward: dict[_Node, tuple[float, _Node]] = {}
    backward: dict[_Node, tuple[float, _Node]] = {}
    for t in range(len(view)):
        for i in range(len(view.faces[t])):
            end = (t, i)
            if end in links:
                continue
            for v in range(t + 1, min(t + GAP_FRAMES + 2, len(view))):
                if view.cuts[v]:
                    break
                for start in ((v, j) for j in range(len(view.faces[v])) if v > t + 1):
                    cost = None if start in reached else view.cost(end, start)
                    if cost is None:
                        continue
                    cost += _GAP_COST * (v - t)
                    forward[end] = min(forward.get(end, (np.inf, start)), (cost, start))
                    backward[start] = min(backward.get(start, (np.inf, end)), (cost, end))
    return {end: start for end, (_, start) in forward.items() if backward[start][1] == end}


def _collect(view: _View, links: dict[_Node, _Node]) -> Tracks:
    detected: list[dict[int, TrackedFace]] = [{} for _ in range(len(view))]
    filled: list[list[TrackedFace]] = [[] for _ in range(len(view))]
    reached = set(links.values())
    starts = ((t, i) for t in range(len(view)) for i in range(len(view.faces[t])))
    track = 0
    for start in starts:
        if start in reached:
            continue
        if start not in links and _is_doubtful(view, start):
            continue
        node: _Node | None = start
        while node is not None:
            after = links.get(node)
            steps = [None] if after is None else _steps(view, node, after)
            detected[node[0]][node[1]] = TrackedFace(view.face(node), track, False, steps[0])
            if after is not None:
                between = _between(view, node, after)
                for k, (face, step) in enumerate(zip(between, steps[1:], strict=True), 1):
                    filled[node[0] + k].append(TrackedFace(face, track, True, step))
            node = after
        track += 1
    return tuple(
        (
            *(some[i] for i in sorted(some)),
            *sorted(more, key=lambda f: (-f.face.side_px, f.face.box_xyxy[1], f.face.box_xyxy[0])),
        )
        for some, more in zip(detected, filled, strict=True)
    )


def _is_doubtful(view: _View, node: _Node) -> bool:
    t = node[0]
    alone_in_shot = (t == 0 or view.cuts[t]) and (t + 1 == len(view) or view.cuts[t + 1])
    return view.face(node).score < LONE_SCORE and not alone_in_shot


def _steps(view: _View, node: _Node, after: _Node) -> Sequence[np.ndarray | None]:
    """The picture's motion from each frame to the next, from ``node`` until ``after``."""
    path = view.path(node, after[0] - node[0])
    if path is None:
        return [None] * (after[0] - node[0])
    return [path[0], *(compose(b, invert(a)) for a, b in pairwise(path))]


def _between(view: _View, node: _Node, after: _Node) -> list[Face]:
    """The faces that the detector missed between two that it found."""
    one, other = view.face(node), view.face(after)
    frames = after[0] - node[0]
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    path = view.path(node, frames) or (still,) * frames
    home = invert(path[-1])
    faces = []
    for k, ahead in enumerate(path[:-1], 1):
        share = k / frames
        back = compose(ahead, home)
        landmarks = (1 - share) * transform(ahead, one.landmarks_xy)
        landmarks += share * transform(back, other.landmarks_xy)
        box = (1 - share) * moved_box(one.box_xyxy, ahead)
        box += share * moved_box(other.box_xyxy, back)
        left, top, right, bottom = box.tolist()
        score = (1 - share) * one.score + share * other.score
        faces.append(Face((left, top, right, bottom), landmarks.astype(np.float32), score))
    return faces


def _overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    size = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = float(np.prod(np.maximum(size, 0.0)))
    both = float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - common
    return common / max(both, 1e-9)


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
