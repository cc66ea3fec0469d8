"""The first StyleGAN, whose faces PULSE searches: mapping and synthesis networks.

Keys and layout are those of the PyTorch port that PULSE ships (``synthesis.pt``, ``mapping.pt``).
Every latent vector of the synthesis, two a resolution, comes in from outside, as do all noises.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks", section 2 and appendix C; Karras et al. 2018, section 4.1 (equalised learning rate).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_SIZE = 512
_SLOPE = 0.2
_GAIN = 2**0.5
# From this output size on, the original upsamples and convolves in one step, with other sums.
_FUSED_FROM_PX = 128


class EqualLinear(nn.Module):
    """A linear layer whose weight is scaled when used: by gain / √inputs and by ``lr_mul``."""

    def __init__(self, inputs: int, outputs: int, gain: float, lr_mul: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain * lr_mul / inputs**0.5
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)


class EqualConv2d(nn.Module):
    """A convolution that keeps the size, its weight scaled when used by gain / √fan-in."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = _GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / (inputs * kernel**2) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=padding)


class Blur(nn.Module):
    """Every channel smoothed by the 3x3 binomial kernel; zeros outside."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(line, line)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.expand(channels, -1, -1, -1), padding=1, groups=channels)


class UpConv2d(EqualConv2d):
    """Doubles the size, convolves, blurs, then adds the bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel=3)
        self.intermediate = Blur()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if min(x.shape[-2:]) * 2 >= _FUSED_FROM_PX:
            # Each input pixel spreads the kernel over four outputs: the kernel summed over its
            # four shifts, in the original's order of sums, in a transposed convolution.
            wide = F.pad(weight.transpose(0, 1), (1, 1, 1, 1))
            low, high = wide[..., 1:, :], wide[..., :-1, :]
            spread = low[..., 1:] + high[..., 1:] + low[..., :-1] + high[..., :-1]
            x = F.conv_transpose2d(x, spread, stride=2, padding=1)
        else:
            x = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
        return self.intermediate(x) + self.bias.view(-1, 1, 1)


class Noise(nn.Module):
    """Adds one noise map, weighted per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight.view(-1, 1, 1) * noise


class StyleModulation(nn.Module):
    """Scales each channel by 1 + s and shifts it by t, (s, t) linear in the latent vector."""

    def __init__(self, latent_size: int, channels: int) -> None:
        super().__init__()
        self.lin = EqualLinear(latent_size, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        scale, shift = self.lin(latent)[..., None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class Epilogue(nn.Module):
    """What follows every convolution: noise, leaky ReLU, instance norm, style."""

    def __init__(self, channels: int, latent_size: int) -> None:
        super().__init__()
        self.noise = Noise(channels)
        self.style_mod = StyleModulation(latent_size, channels)

    def forward(self, x: Tensor, latent: Tensor, noise: Tensor) -> Tensor:
        x = F.instance_norm(F.leaky_relu(self.noise(x, noise), _SLOPE))
        return self.style_mod(x, latent)


class InputBlock(nn.Module):
    """The learnt constant of 4x4 pixels and the first convolution."""

    def __init__(self, channels: int, latent_size: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.ones(1, channels, 4, 4))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epi1 = Epilogue(channels, latent_size)
        self.conv = EqualConv2d(channels, channels, kernel=3)
        self.epi2 = Epilogue(channels, latent_size)

    def forward(self, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        x = (self.const + self.bias.view(-1, 1, 1)).expand(len(latents), -1, -1, -1)
        x = self.epi1(x, latents[:, 0], noises[0])
        return self.epi2(self.conv(x), latents[:, 1], noises[1])


class UpBlock(nn.Module):
    """One doubling of the size."""

    def __init__(self, inputs: int, outputs: int, latent_size: int) -> None:
        super().__init__()
        self.conv0_up = UpConv2d(inputs, outputs)
        self.epi1 = Epilogue(outputs, latent_size)
        self.conv1 = EqualConv2d(outputs, outputs, kernel=3)
        self.epi2 = Epilogue(outputs, latent_size)

    def forward(self, x: Tensor, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        x = self.epi1(self.conv0_up(x), latents[:, 0], noises[0])
        return self.epi2(self.conv1(x), latents[:, 1], noises[1])


class Synthesis(nn.Module):
    """Latent vectors and noises to a picture.

    latents: (N, L, 512) with L at least ``layers``; more are not read. noises: one
    (N or 1, 1, s, s) a layer, s as in ``noise_sizes_px``. Out: (N, 3, R, R), nominally in
    [-1, 1], R = ``resolution``.
    """

    def __init__(self, resolution: int = 1024, fmap_base: int = 8192, fmap_max: int = 512) -> None:
        super().__init__()
        doublings = resolution.bit_length() - 3
        if doublings < 0 or resolution != 4 << doublings:
            raise ValueError(f"resolution must be 4, 8, 16 …, not {resolution}")
        self.resolution = resolution
        self.layers = 2 * (doublings + 1)
        widths = [max(1, min(fmap_base >> (i + 1), fmap_max)) for i in range(doublings + 1)]
        self.torgb = EqualConv2d(widths[-1], 3, kernel=1, gain=1.0)
        self.blocks = nn.ModuleDict({"4x4": InputBlock(widths[0], LATENT_SIZE)})
        for i in range(doublings):
            name = f"{8 << i}x{8 << i}"
            self.blocks[name] = UpBlock(widths[i], widths[i + 1], LATENT_SIZE)

    @property
    def noise_sizes_px(self) -> list[int]:
        """The side of each layer's noise map."""
        return [4 << (layer // 2) for layer in range(self.layers)]

    def forward(self, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        first, *rest = self.blocks.values()
        x = first(latents, noises)
        for i, block in enumerate(rest, start=1):
            x = block(x, latents[:, 2 * i :], noises[2 * i :])
        return self.torgb(x)


class SearchableSynthesis(Synthesis):
    """The synthesis together with where its mapping network's outputs lie.

    Undone by a leaky ReLU of slope 5, the mapping's outputs are nearly Gaussian; ``mean`` and
    ``std`` (the keys of ``gaussian_fit.pt``) are that Gaussian's, a (512,) each. A standard
    normal vector is so moved to a likely latent.

    Source: Menon et al. 2020, section 3.2.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *size: int, **sizes: int) -> None:
        super().__init__(*size, **sizes)
        self.register_buffer("mean", torch.zeros(LATENT_SIZE))
        self.register_buffer("std", torch.ones(LATENT_SIZE))

    def likely_latents(self, normal: Tensor) -> Tensor:
        """Standard normal vectors (…, 512) to latents the synthesis was trained on."""
        return F.leaky_relu(normal * self.std + self.mean, _SLOPE)


class Mapping(nn.Module):
    """Normal vectors (N, 512) to latents (N, 512): eight linears, each with a leaky ReLU."""

    depth = 8

    def __init__(self) -> None:
        super().__init__()
        for i in range(self.depth):
            setattr(self, f"dense{i}", EqualLinear(LATENT_SIZE, LATENT_SIZE, _GAIN, lr_mul=0.01))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for i in range(self.depth):
            x = F.leaky_relu(getattr(self, f"dense{i}")(x), _SLOPE)
        return x


@torch.no_grad()
def fit_gaussian(mapping: Mapping, draws: int = 1_000_000, seed: int = 0) -> dict[str, Tensor]:
    """``mean`` and unbiased ``std`` of the mapping's undone outputs over ``draws`` of them."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(LATENT_SIZE, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for start in range(0, draws, 8192):
        z = torch.randn(min(8192, draws - start), LATENT_SIZE, generator=generator)
        undone = F.leaky_relu(mapping(z), 1 / _SLOPE).double()
        total += undone.sum(dim=0)
        squares += undone.square().sum(dim=0)
    mean = total / draws
    variance = (squares - draws * mean.square()) / (draws - 1)
    return {"mean": mean.float(), "std": variance.sqrt().float()}
