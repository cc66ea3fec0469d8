"""Any other super-resolution network by path, through ``spandrel``.

Hundreds of upscalers share the ESRGAN family of architectures; spandrel knows them by their
keys. It only ever gets tensors that our own safe reader has read, never a file.

Source: github.com/chaiNNer-org/spandrel; architectures cite their papers there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Runtime, StateDict

if TYPE_CHECKING:
    import torch
    from spandrel import ImageModelDescriptor

_PROBE_PX = 32


def _descriptor(state: StateDict) -> Any:
    """spandrel's model for ``state``, or None where it knows no such architecture."""
    import spandrel

    try:
        return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except Exception:  # a detector that matches by chance fails in as many ways as there are nets
        return None


def _upscaler(state: StateDict) -> ImageModelDescriptor | None:
    found = _descriptor(state)
    if getattr(found, "purpose", None) != "SR" or found.scale < 2:
        return None
    return found if found.input_channels == found.output_channels == 3 else None


def recognise(state: StateDict) -> dict[str, Any] | None:
    """spandrel's name of the architecture and the scale, for RGB super-resolution only."""
    found = _upscaler(state)
    return None if found is None else {"name": str(found.architecture.id), "scale": found.scale}


def what_else(state: StateDict) -> str | None:
    """What spandrel takes a state dict for when it is no RGB upscaler, for error messages."""
    found = _descriptor(state)
    if found is None:
        return None
    purpose = {"SR": "super-resolution", "FaceSR": "face restoration"}
    channels = "" if found.input_channels == 3 else f" with {found.input_channels} channels"
    return f"{found.architecture.name} ({purpose.get(found.purpose, found.purpose)}{channels})"


def network(state: StateDict, **architecture: Any) -> torch.nn.Module:
    """The torch module that spandrel infers; ``architecture`` is checked, not needed."""
    return _checked(state, architecture).model


def _checked(state: StateDict, architecture: Any) -> ImageModelDescriptor:
    found = _upscaler(state)
    if found is None:
        raise WeightsError(f"no RGB upscaler: {what_else(state) or 'an unknown network'}")
    inferred = {"name": str(found.architecture.id), "scale": found.scale}
    for key, expected in dict(architecture).items():
        if inferred.get(key) != expected:
            raise WeightsError(f"the network has {key}={inferred.get(key)!r}, not {expected!r}")
    return found


class CommunityUpscaler:
    """An :class:`~restore_batch.models.base.Upscaler` around spandrel's model.

    Sizes that the network cannot take are padded by reflection and cut off again. Half
    precision is used only where the architecture is known to stand it.
    """

    def __init__(self, descriptor: ImageModelDescriptor, runtime: Runtime) -> None:
        import torch

        self.scale = descriptor.scale
        self._device = torch.device(runtime.device)
        stands = {
            "float16": descriptor.supports_half,
            "bfloat16": descriptor.supports_bfloat16,
            "float32": True,
        }
        precision = runtime.precision if stands[runtime.precision] else "float32"
        self._dtype: torch.dtype = getattr(torch, precision)
        self._descriptor = descriptor.to(self._device, self._dtype).eval()
        self._bytes_per_pixel: int | None = None

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 3, H*scale, W*scale) float32 in [0, 1]."""
        import torch

        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        count, _, height, width = rgb_nchw.shape
        if count == 0:
            size = (0, 3, height * self.scale, width * self.scale)
            return torch.empty(size, device=self._device)
        pixels = rgb_nchw.to(self._device, self._dtype)
        parts = pixels.split(1) if self._device.type == "cpu" else (pixels,)
        return torch.cat([self._descriptor(part).float() for part in parts])

    def bytes_per_pixel(self) -> int:
        """Measured once: twice the largest input and output of any layer, a pixel of a probe.

        Attention and concatenation hold more alive than one layer's ends, hence the factor.
        """
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self._measure()
        return self._bytes_per_pixel

    def _measure(self) -> int:
        import torch

        most = 0

        def note(_module: Any, inputs: Any, output: Any) -> None:
            nonlocal most
            tensors = [t for t in (*inputs, output) if isinstance(t, torch.Tensor)]
            most = max(most, sum(t.nbytes for t in tensors))

        leaves = [m for m in self._descriptor.model.modules() if not any(m.children())]
        hooks = [leaf.register_forward_hook(note) for leaf in leaves]
        needs = self._descriptor.size_requirements
        side = max(_PROBE_PX, needs.minimum)
        try:
            self(torch.zeros(1, 3, side, side))
        finally:
            for hook in hooks:
                hook.remove()
        return max(2 * most // side**2, 1)


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> CommunityUpscaler:
    """The upscaler, on the device of ``runtime``."""
    return CommunityUpscaler(_checked(state, card.architecture), runtime)


FAMILY = Family(
    name="community",
    task="upscale",
    cards=(),
    network=network,
    build=build,
    recognise=recognise,
)
