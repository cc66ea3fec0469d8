"""Faces of films, steady from frame to frame: tracks, motion, smoothing, cuts, flicker.

Works on detections, crops and small pictures, and imports nothing of ``stages`` but what lies at
its top. Not here: finding and restoring faces, reading films."""
