"""`python -m smoothjax.diagnose`: checkerboards in pictures, gridding in networks and gradients."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ..command_line import choose, parse
from ..files import explain, printable

PROGRAM = "python -m smoothjax.diagnose"


@dataclass(frozen=True)
class Picture:
    """Looks for checkerboards in pictures or feature maps: strength, period and position.

    example: python -m smoothjax.diagnose picture photo.png --out checkerboard.png
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Images of any format that Pillow reads, `.npy` files of maps [H, W], [H, W, C] or [N, H, W, C], or folders of
    them."""
    out: Path = Path("checkerboard.png")
    """The figure to write: picture, spectrum and energy by position."""
    white: int | None = None
    """The largest number of 16-bit images, such as 4095 for 12 bits; other images do not need it."""
    json: bool = False
    """Whether to print JSON instead of a report."""


@dataclass(frozen=True)
class Network:
    """Proves which outputs of a network share inputs, and names the layers to smooth; measures exported programs.

    example: python -m smoothjax.diagnose network my_models:make_unet --input 1,65,65,3
    """

    target: tyro.conf.Positional[str]
    """MODULE:NAME of a network, or of a class or function that makes one without arguments or with rngs alone; or the
    file of an exported program, such as model.stablehlo, whose dependences are measured."""
    input: str
    """Shape of its input, [N, *S, C], such as 1,65,65,3."""
    layout: Literal["channels_last", "channels_first"] = "channels_last"
    """Layout of the network's input: [N, *S, C], or one example [C, *S], as in Equinox."""
    block: int | None = None
    """Of an exported program without derivatives, the side of the block of pixels at the centre that are changed, such
    as 24, which is quicker than all of a large image; by default all are."""
    out: Path = Path("receptive_field.png")
    """The figure to write: the effective receptive field at random inputs."""
    json: bool = False
    """Whether to print JSON instead of a report."""


@dataclass(frozen=True)
class Gradients:
    """Measures which outputs of a network of another framework, such as PyTorch, share inputs.

    example: python -m smoothjax.diagnose gradients gradients.npy
    """

    file: tyro.conf.Positional[Path]
    """A `.npy` file: gradients of a block of neighbouring outputs with respect to the inputs, [9, 9, C, H, W]."""
    channels: Literal["first", "last"] = "first"
    """Where the channels of the inputs are: first is [9, 9, C, H, W], last [9, 9, H, W, C]."""
    out: Path = Path("receptive_field.png")
    """The figure to write: what the output at the centre of the block sees."""
    json: bool = False
    """Whether to print JSON instead of a report."""


_COMMANDS: dict[str, type] = {"picture": Picture, "network": Network, "gradients": Gradients}


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name = arguments.pop(0)
    options = parse(choose("command", name, _COMMANDS), arguments, f"{PROGRAM} {name}")
    try:
        if isinstance(options, Picture):
            from ._picture import diagnose_pictures

            if options.white is not None and not 1 <= options.white <= 65535:
                raise ValueError(
                    f"--white must be 1 .. 65535, the largest number of a 16-bit image, got {options.white}: try 4095"
                )
            print(diagnose_pictures(options.files, options.out, options.white, as_json=options.json))
        elif isinstance(options, Gradients):
            from ._gradients import diagnose_gradients

            print(diagnose_gradients(options.file, options.channels, options.out, as_json=options.json))
        else:
            from ._exported import diagnose_exported, is_exported
            from ._network import diagnose_network

            target, how = options.target, (options.input, options.out, options.layout)
            if is_exported(target):
                print(diagnose_exported(target, *how, options.block, as_json=options.json))
            elif options.block is not None:
                raise ValueError(f"--block is for exported programs, got {options.block} with {target}: leave it out")
            else:
                print(diagnose_network(target, *how, as_json=options.json))
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {printable(' '.join(explain(error).split()))}", file=sys.stderr)
        return 2
    return 0


def _usage() -> str:
    texts = {name: kind.__doc__ or "" for name, kind in _COMMANDS.items()}
    commands = "\n".join(f"  {name:<10}{text.splitlines()[0]}" for name, text in texts.items())
    examples = "\n".join(f"  {example}" for text in texts.values() for example in re.findall("example: (.+)", text))
    return f"""usage: {PROGRAM} COMMAND ... [options]

Gridding in networks and gradients, and checkerboards in pictures.

commands:
{commands}

{PROGRAM} COMMAND --help explains the options of one.

examples:
{examples}"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
