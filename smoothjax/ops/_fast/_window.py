"""The positions that each tap of a convolution reads and writes: static geometry, without arrays."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from ..._checks import Pairs, effective_size


class Tap(NamedTuple):
    """A tap that reads at least one position.

    Attributes:
      position: its index in the kernel.
      starts: the position that it reads for output 0, by axis; may be outside of the maps.
      outputs: `(begin, end)` of the outputs that it adds to, by axis.
      inputs: the positions that it reads for these, by axis.
    """

    position: tuple[int, ...]
    starts: tuple[int, ...]
    outputs: tuple[tuple[int, int], ...]
    inputs: tuple[slice, ...]

    @property
    def places(self) -> int:
        """Number of outputs that it adds to, for one example."""
        return math.prod(end - begin for begin, end in self.outputs)

    def backwards(self) -> "Tap":
        """The same tap from outputs to inputs, for an unstrided convolution."""
        outputs = tuple((places.start, places.stop) for places in self.inputs)
        return Tap(
            self.position, tuple(-start for start in self.starts), outputs, tuple(slice(*o) for o in self.outputs)
        )


class Window(NamedTuple):
    """The movement of a kernel over the maps: strides, zero-padding and dilation rates by axis. Hashable."""

    strides: tuple[int, ...]
    pairs: Pairs
    rates: tuple[int, ...]

    @property
    def unstrided(self) -> bool:
        """Whether all strides are 1."""
        return all(stride == 1 for stride in self.strides)

    def out_size(self, size: Sequence[int], kernel_size: Sequence[int]) -> tuple[int, ...]:
        """Number of outputs by axis, for maps of a size."""
        extents = map(effective_size, kernel_size, self.rates)
        sides = zip(size, self.pairs, extents, self.strides, strict=True)
        return tuple(max(0, (length + sum(pair) - extent) // stride + 1) for length, pair, extent, stride in sides)

    def taps(self, size: Sequence[int], kernel_size: Sequence[int]) -> list[Tap]:
        """The taps that read at least one position, in row-major order; at high rates many read only padding."""
        out = self.out_size(size, kernel_size)
        found = []
        for index in itertools.product(*map(range, kernel_size)):
            starts, outputs, inputs = [], [], []
            axes = zip(index, size, out, self.strides, self.pairs, self.rates, strict=True)
            for tap, length, count, stride, (low, _), rate in axes:
                first = tap * rate - low
                begin = max(0, -(first // stride))
                end = min(count, (length - 1 - first) // stride + 1)
                starts.append(first)
                outputs.append((begin, end))
                inputs.append(slice(first + begin * stride, first + (end - 1) * stride + 1, stride))
            if all(end > begin for begin, end in outputs):
                found.append(Tap(index, tuple(starts), tuple(outputs), tuple(inputs)))
        return found

    def flipped(self, kernel_size: Sequence[int]) -> "Window":
        """The window of the transpose with respect to the maps, without strides; it takes the flipped kernel."""
        reach = [effective_size(taps, rate) - 1 for taps, rate in zip(kernel_size, self.rates, strict=True)]
        pairs = tuple((most - low, most - high) for most, (low, high) in zip(reach, self.pairs, strict=True))
        return self._replace(pairs=pairs)
