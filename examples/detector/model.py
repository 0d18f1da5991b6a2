"""The detector in PyTorch: CenterNet with deformable stages as in CoDeNet (arXiv 2006.08357). Needs the `train` extra."""

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]
from torch.nn.utils.fusion import fuse_conv_bn_eval  # pyright: ignore[reportMissingImports]

from .data import CLASSES, STRIDE

LOW, HIGH = -1, 6  # of s: taps lie 1 + s pixels apart, 0 to 7
TAPS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def convolution(channels: int, results: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """With batch norm and ReLU."""
    conv = nn.Conv2d(channels, results, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(results), nn.ReLU())


def separable(channels: int, results: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel, then one of all channels."""
    return nn.Sequential(convolution(channels, channels, 3, stride, channels), convolution(channels, results, 1))


class Deformed(nn.Module):
    """A depthwise 3x3 convolution whose taps lie 1 + s pixels apart, where s is an integer of each pixel, made of its channels.

    deformable: else s is 0. rounds: else s is no integer, which it learns more easily from.
    """

    def __init__(self, channels: int, *, deformable: bool):
        super().__init__()
        self.offset, self.rounds = nn.Conv2d(channels, 1, 1) if deformable else None, True
        self.weight = nn.Parameter(torch.randn(channels, 1, 3, 3) / 3)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("directions", torch.tensor(TAPS, dtype=torch.float32).reshape(1, -1, 1, 1), persistent=False)
        if self.offset is not None:
            nn.init.zeros_(self.offset.weight)
            nn.init.zeros_(self.offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.offset is None:
            return functional.conv2d(x, self.weight, self.bias, padding=1, groups=x.shape[1])
        real = self.offset(x)
        if torch.onnx.is_in_onnx_export():
            s = real.round().clamp(LOW, HIGH)
            return torch.onnx.ops.symbolic(
                "DeformConv",
                (x, self.weight, s * self.directions, self.bias),
                {"group": x.shape[1], "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
                dtype=x.dtype,
                shape=x.shape,
            )
        limited = real.clamp(LOW, HIGH)
        return self._sampled(x, limited + (limited.round() - limited).detach() if self.rounds else limited)

    def _sampled(self, x: Tensor, s: Tensor) -> Tensor:
        """By bilinear interpolation, whose slope is that of the result in s."""
        n, channels, height, width = x.shape
        rows, cols = torch.arange(height).reshape(1, -1, 1), torch.arange(width).reshape(1, 1, -1)
        apart = 1 + s[:, 0]
        places = [torch.stack([2 * (cols + j * apart) / (width - 1) - 1, 2 * (rows + i * apart) / (height - 1) - 1], -1) for i, j in TAPS]
        taps = functional.grid_sample(x, torch.cat(places, 1), align_corners=True).reshape(n, channels, 9, height, width)
        return torch.einsum("ncthw,ct->nchw", taps, self.weight.reshape(channels, 9)) + self.bias.reshape(-1, 1, 1)


class Features(nn.Module):
    """[N, 1, SIZE, SIZE] to [N, 32, H, W], maps of as many pixels / STRIDE on each side."""

    def __init__(self, *, deformable: bool):
        super().__init__()
        self.fine = nn.Sequential(convolution(1, 16, 3, 2), separable(16, 32, 2), separable(32, 32))
        self.middle = nn.Sequential(separable(32, 64, 2), separable(64, 64))
        self.coarse = separable(64, 64, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(Deformed(64, deformable=deformable), convolution(64, results, 1), nn.Upsample(scale_factor=2))
            for results in (64, 32)
        )
        self.last = nn.Sequential(Deformed(32, deformable=deformable), convolution(32, 32, 1))

    def forward(self, image: Tensor) -> Tensor:
        fine = self.fine(image)
        middle = self.middle(fine)
        x = self.stages[0](self.coarse(middle)) + middle
        return self.last(self.stages[1](x) + fine)


class Detector(nn.Module):
    """[N, 1, SIZE, SIZE] in 0..1 to maps [.., H, W]: that a digit of a class has its middle there, in 0..1, [N, CLASSES, ..]; width and
    height of its box, and where in the pixel its middle lies, each [N, 2, ..], x first, in pixels of the map."""

    def __init__(self, *, deformable: bool):
        super().__init__()
        self.features = Features(deformable=deformable)
        self.hm, self.wh, self.reg = (nn.Conv2d(32, results, 1) for results in (CLASSES, 2, 2))
        nn.init.constant_(self.hm.bias, -4.6)  # a pixel in a hundred, to begin with

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.features(image)
        return self.hm(x).sigmoid(), self.wh(x), self.reg(x)


class Deployed(nn.Module):
    """A trained detector for export: each batch norm is part of the convolution before it, and sizes and places come from one convolution
    as edges of boxes. Of an image the heat, as a Detector's, and [N, 4, H, W]: left, top, right and bottom edge, in pixels of the image,
    counted from the corner of the map's pixel."""

    def __init__(self, trained: Detector):
        super().__init__()
        trained.eval()
        for module in trained.modules():
            if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
        self.features, self.hm, self.box = trained.features, trained.hm, nn.Conv2d(32, 4, 1)
        for name in ("weight", "bias"):
            wh, reg = (getattr(head, name).data for head in (trained.wh, trained.reg))
            getattr(self.box, name).data = STRIDE * torch.cat([reg - wh / 2, reg + wh / 2])
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(image)
        return self.hm(x).sigmoid(), self.box(x)
