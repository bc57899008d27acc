"""A source at one size."""

from ._classes import Classes
from ._source import Record, Source, read_at_least
from ._transforms import checked_size, resize


class ResizedSource:
    """The examples of a source, all resized to one size: whole images, neither cropped nor padded.

    For networks of a fixed input size, such as the U-Net of Gao et al. (2017), which is trained and scored on images
    and labels of 256x256. The ratio of height to width changes with it. Images are resampled linearly, labels to the
    nearest, see `resize`. If the source supports it, a JPEG of at least twice the size is not decoded whole, which
    gives slightly different pixels, see `Augmentation`.

    Args:
      source: any source.
      size: height and width in pixels.

    Attributes:
      source: the given source.

    Raises:
      ValueError: `size` is not positive.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> source = ResizedSource(ShapesSource(length=3, size=(40, 60)), (32, 32))
      >>> len(source), source[0]["image"].shape, source.size(0)
      (3, (32, 32, 3), (32, 32))
    """

    def __init__(self, source: Source, size: tuple[int, int]):
        self.source: Source = source
        self._size = checked_size("size", size)

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        return self.source.classes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Record:
        return resize(read_at_least(self.source, index, self._size), self._size)

    def __repr__(self) -> str:
        return f"ResizedSource({self.source!r}, {self._size})"

    def name(self, index: int, /) -> str:
        """The name of the example."""
        return self.source.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width of every example."""
        return self._size
