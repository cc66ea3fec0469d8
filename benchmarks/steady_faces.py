"""Which filter makes landmarks steady: per-frame detection against five ways to smooth it.

    python benchmarks/steady_faces.py film.mp4
    python benchmarks/steady_faces.py film.mp4 --weights mobilenet0.25_Final.pth --frames 300

Finds the faces of a clip, links them and takes the longest track. For each filter it prints

- jitter: RMS of the landmarks' second difference, in pixels;
- beside the picture: the same without the picture's own motion, as dense flow measures it;
- crop slide: how far the aligned crops move over the face from frame to frame, in source pixels;
- crop change: mean absolute difference of consecutive crops inside the face, in grey levels;
- lag behind the detections, in frames.

The first falls with any filter, also with one that pulls the crop off the face of a shaking
picture; the next three tell whether the restorer sees a steady face.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from restore_batch.models import registry
from restore_batch.models.metrics import steadiness
from restore_batch.models.weights.store import Store
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.steady.cuts import frame_signature, is_cut
from restore_batch.stages.faces.steady.motion import FaceFollower
from restore_batch.stages.faces.steady.smoothing import smooth_landmarks
from restore_batch.stages.faces.steady.track import GAP_FRAMES, Tracks, link_faces
from restore_batch.stages.faces.steady.tremor import damp_tremor
from restore_batch.stages.geometry import estimate_similarity, scale_of, warp
from restore_batch.stages.media import Frame

CROP_PX = 128


def gaussian(points: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """Centred, cut at three sigma; near the ends the window shrinks on both sides."""
    reach = round(3 * sigma)
    smoothed = np.empty_like(points)
    for t in range(len(points)):
        half = min(reach, t, len(points) - 1 - t)
        weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
        smoothed[t] = np.tensordot(weights / weights.sum(), points[t - half : t + half + 1], 1)
    return smoothed


def savitzky_golay(points: np.ndarray, half: int = 4, degree: int = 2) -> np.ndarray:
    """Local polynomials (Savitzky and Golay 1964); one-sided at the ends."""
    smoothed = np.empty_like(points)
    for t in range(len(points)):
        start, stop = max(0, t - half), min(len(points), t + half + 1)
        powers = np.vander(np.arange(start - t, stop - t), degree + 1, increasing=True)
        smoothed[t] = np.tensordot(np.linalg.pinv(powers)[0], points[start:stop], 1)
    return smoothed


def one_euro(
    points: np.ndarray, fps: float, cutoff_hz: float = 1.0, beta: float = 0.1
) -> np.ndarray:
    """The 1-euro filter (Casiez et al. 2012), forward, then backward against its lag."""

    def share(frequency_hz: np.ndarray | float) -> np.ndarray | float:
        return 1 / (1 + fps / (2 * np.pi * frequency_hz))

    def once(values: np.ndarray) -> np.ndarray:
        done, speed = [values[0]], np.zeros_like(values[0])
        for value in values[1:]:
            speed = speed + share(1.0) * ((value - done[-1]) * fps - speed)
            done.append(done[-1] + share(cutoff_hz + beta * np.abs(speed)) * (value - done[-1]))
        return np.array(done)

    return once(once(points)[::-1])[::-1]


def detect(clip: Path, weights: Path | None, most: int) -> tuple[list[Frame], Tracks, float]:
    """Frames, linked but unsmoothed faces, and frames a second."""
    store = Store(None, download=False)
    if weights is None:
        ref = store.ref(registry.card("mtcnn"), {})
    else:
        ref = store.ref_from_path(weights, "detect", {})
    detector = Detect(ref)
    detector.open(WorkerContext())
    frames, faces, cuts, last = [], [], [], None
    follower = FaceFollower(GAP_FRAMES + 1)
    with av.open(str(clip)) as container:
        fps = float(container.streams.video[0].average_rate or 25)
        for decoded in container.decode(video=0):
            if len(frames) == most:
                break
            frame = Frame(decoded.to_ndarray(format="rgb24"))
            now = frame_signature(frame.rgb_hwc)
            cuts.append(last is not None and is_cut(last, now))
            faces.append(detector.find([frame])[0])
            follower.push(frame.rgb_hwc, faces[-1], cuts[-1])
            frames.append(frame)
            last = now
    tracks = link_faces(faces, cuts, follower.paths())
    found, shots = sum(map(len, faces)), sum(cuts) + 1
    filled = sum(face.filled for some in tracks for face in some)
    print(f"{clip.name}: {len(frames)} frames, {shots} shots, {found} faces, {filled} filled")
    return frames, tracks, fps


def longest(tracks: Tracks) -> tuple[int, int, int]:
    """The track with the most frames: its number, first frame and end."""
    seen: dict[int, list[int]] = {}
    for t, faces in enumerate(tracks):
        for face in faces:
            seen.setdefault(face.track, []).append(t)
    number = max(seen, key=lambda track: len(seen[track]))
    return number, seen[number][0], seen[number][-1] + 1


def landmarks_of(tracks: Tracks, number: int) -> np.ndarray:
    """(T, 5, 2) float64 of one track."""
    faces = [face.face for some in tracks for face in some if face.track == number]
    return np.array([face.landmarks_xy for face in faces], dtype=np.float64)


def measure(frames: list[np.ndarray], points: np.ndarray, detected: np.ndarray) -> list[float]:
    """The columns of the table for one filter's landmarks."""
    matrices = [estimate_similarity(p, CROP_PX) for p in points]
    crops = [warp(f, m, CROP_PX) for f, m in zip(frames, matrices, strict=True)]
    inside = np.array([crop[40:104, 36:92] for crop in crops], dtype=np.float64)
    return [
        steadiness.landmark_jitter_px(points),
        steadiness.landmark_jitter_px(points, steadiness.carried_by_picture(frames, points)),
        steadiness.crop_slide_px(crops, [scale_of(m) for m in matrices]),
        float(np.abs(np.diff(inside, axis=0)).mean()),
        steadiness.lag_frames(detected, points),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--weights", type=Path, help="a detector's file (default: MTCNN's)")
    parser.add_argument("--frames", type=int, default=240, help="how many to read")
    given = parser.parse_args()
    frames, tracks, fps = detect(given.clip, given.weights, given.frames)
    if not any(tracks):
        raise SystemExit(f"{given.clip}: no face found")
    number, start, stop = longest(tracks)
    pictures = [frame.rgb_hwc for frame in frames[start:stop]]
    detected = landmarks_of(tracks, number)
    if len(detected) < 13:
        raise SystemExit(f"{given.clip}: the longest track has {len(detected)} frames, 13 needed")
    filters: dict[str, Callable[[], np.ndarray]] = {
        "detections": lambda: detected,
        "Gaussian": lambda: gaussian(detected),
        "Savitzky-Golay": lambda: savitzky_golay(detected),
        "one-euro": lambda: one_euro(detected, fps),
        "along motion": lambda: landmarks_of(smooth_landmarks(tracks), number),
        "and damped": lambda: landmarks_of(damp_tremor(smooth_landmarks(tracks)), number),
    }
    columns = ("jitter", "beside picture", "crop slide", "crop change", "lag")
    print(f"longest track: frames {start} to {stop - 1}\n")
    print(f"{'':16}" + "".join(f"{column:>16}" for column in columns))
    for name, points in filters.items():
        figures = measure(pictures, points(), detected)
        print(f"{name:16}" + "".join(f"{figure:16.3f}" for figure in figures))


if __name__ == "__main__":
    main()
