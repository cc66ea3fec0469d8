"""Faces of films, steady from frame to frame: tracks, motion, smoothing, cuts, flicker.

Works on detections, crops and small pictures; not here: reading films."""
