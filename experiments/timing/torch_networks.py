"""The networks of the benchmark in PyTorch: the same layers with random weights, channels last, and an SGD step.

PyTorch is optional: without it this module can be imported, but nothing in it can be called.
"""

import importlib
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from .measure import Peer

torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
nn: Any = torch and torch.nn
functional: Any = torch and torch.nn.functional
_Base: Any = nn.Module if torch else object
#: Types of the optional library.
Tensor: TypeAlias = Any
Module: TypeAlias = Any

#: The number of cores behind the stored tables.
_THREADS = 2
_HEAD_RATES = (6, 12, 18, 24)
_UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def peer(network: Module, shape: tuple[int, int, int, int], labels: tuple[int, ...] | None) -> Peer:
    """The training step and the prediction of a network on images `[N, C, H, W]`.

    The loss is the cross entropy with random labels of the given shape; without a shape it is the network's output.
    """
    torch.set_num_threads(_THREADS)
    network = network.to(memory_format=torch.channels_last)
    images = torch.randn(shape).to(memory_format=torch.channels_last)
    target = None if labels is None else torch.randint(0, 21, labels)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)

    def train() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        out = network(images)
        (out if target is None else functional.cross_entropy(out, target)).backward()
        optimizer.step()

    def predict() -> None:
        network.eval()
        with torch.no_grad():
            network(images) if target is None else network(images).argmax(1)

    return Peer({"training step": train, "prediction": predict})


class FrozenBatchNorm(_Base):
    """Normalises with fixed statistics, scale and bias."""

    gain: Tensor
    offset: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("gain", torch.ones(1, channels, 1, 1))
        self.register_buffer("offset", torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` to the same."""
        return x * self.gain + self.offset


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1, rate: int = 1) -> Module:
    padding = rate * (size - 1) // 2
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, dilation=rate, bias=False)


class _Block(_Base):
    """A residual block: normalised convolutions, and a projection where channels or sizes change."""

    def __init__(self, convs: list[Module], stride: int, norm: Callable[[int], Module]):
        super().__init__()
        inputs, outputs = convs[0].in_channels, convs[-1].out_channels
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(norm(conv.out_channels) for conv in convs)
        changes = inputs != outputs or stride != 1
        projection = [_conv(inputs, outputs, 1, stride=stride), norm(outputs)] if changes else []
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` to `[N, C', H', W']`."""
        y = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            y = functional.relu(y) if index + 1 < len(self.convs) else y
        return functional.relu(y + self.shortcut(x))


class DeepLab(_Base):
    """A ResNet of output stride 8, and the sum of dilated convolutions to the classes."""

    def __init__(
        self,
        depth: Literal[18, 50],
        width: int,
        *,
        frozen: bool = False,
        head_rates: tuple[int, ...] = _HEAD_RATES,
        classes: int = 21,
    ):
        super().__init__()
        norm = FrozenBatchNorm if frozen else nn.BatchNorm2d
        layers: list[Module] = [_conv(3, width, 7, stride=2), norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        features = width
        for stage, blocks in enumerate(_UNITS[depth]):
            channels, rate = width * 2**stage, (1, 1, 2, 4)[stage]
            for index in range(blocks):
                stride = 2 if stage == 1 and index == 0 else 1
                if depth == 18:
                    first = _conv(features, channels, 3, stride=stride, rate=rate)
                    convs = [first, _conv(channels, channels, 3, rate=rate)]
                else:
                    convs = [
                        _conv(features, channels, 1, stride=stride),
                        _conv(channels, channels, 3, rate=rate),
                        _conv(channels, 4 * channels, 1),
                    ]
                layers.append(_Block(convs, stride, norm))
                features = convs[-1].out_channels
        self.encoder = nn.Sequential(*layers)
        self.head = nn.ModuleList(nn.Conv2d(features, classes, 3, padding=rate, dilation=rate) for rate in head_rates)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[N, 3, H, W]` to logits `[N, classes, H', W']`."""
        features = self.encoder(images)
        return torch.stack([conv(features) for conv in self.head]).sum(0)


class UNet(_Base):
    """Levels of two 3x3 convolutions, and 6x6 transposed convolutions between them."""

    def __init__(self, depth: int = 5, width: int = 64, classes: int = 21):
        super().__init__()
        channels = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(
            self._convs(c_in, c_out) for c_in, c_out in zip([3, *channels], channels, strict=False)
        )
        above = list(reversed(channels[:-1]))
        self.up = nn.ModuleList(self._convs(2 * c, c) for c in above)
        self.upsampling = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 6, stride=2, padding=2) for c in above)
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def _convs(inputs: int, outputs: int) -> Module:
        convs = (_conv(inputs, outputs, 3), _conv(outputs, outputs, 3))
        first, second = ((conv, nn.BatchNorm2d(outputs), nn.ReLU()) for conv in convs)
        return nn.Sequential(*first, *second)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[N, 3, H, W]` to logits `[N, classes, H, W]`."""
        x, skips = images, []
        for level, block in enumerate(self.down):
            if level:
                skips.append(x)
                x = functional.max_pool2d(x, 2)
            x = block(x)
        for upsample, block, skip in zip(self.upsampling, self.up, reversed(skips), strict=True):
            x = block(torch.cat([skip, upsample(x)], 1))
        return self.head(x)


class VAE(_Base):
    """The variational auto-encoder for 64x64 images: the negative bound in training, else the reconstruction."""

    def __init__(self, width: int = 32, latents: int = 64):
        super().__init__()
        down = [width * 2**level for level in range(4)]
        up = [*reversed(down), width]
        self.cells = (down[-1], 4, 4)
        convs = [nn.Conv2d(i, o, 4, stride=2, padding=1, bias=False) for i, o in zip([3, *down], down, strict=False)]
        self.down = nn.Sequential(*(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ELU()) for conv in convs))
        self.to_latents = nn.Linear(16 * down[-1], 2 * latents)
        self.latent_norm = nn.BatchNorm1d(latents, affine=False)
        self.from_latents = nn.Linear(latents, 16 * down[-1], bias=False)
        self.start = nn.Sequential(nn.BatchNorm2d(up[0]), nn.ELU())
        deconvs = [nn.ConvTranspose2d(i, o, 6, stride=2, padding=2, bias=False) for i, o in itertools.pairwise(up)]
        self.up = nn.Sequential(*(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ELU()) for conv in deconvs))
        self.to_mean = nn.Conv2d(width, 3, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[N, 3, 64, 64]` to the negative bound in training, else to the mean of the likelihood."""
        mean, log_variance = self.to_latents(self.down(images).flatten(1)).chunk(2, 1)
        mean = self.latent_norm(mean)
        latents = mean + torch.exp(log_variance / 2) * torch.randn_like(mean) if self.training else mean
        decoded = self.up(self.start(self.from_latents(latents).unflatten(1, self.cells)))
        pixels = (1 + self.to_mean(decoded)) / 2
        if not self.training:
            return pixels
        scaled = (images - pixels) * torch.exp(-self.log_scale)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return (scaled**2).sum() / 2 + self.log_scale * images.numel() + divergence
