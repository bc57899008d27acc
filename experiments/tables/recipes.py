"""What the help of a preset tells about the tables that it fills."""

from collections.abc import Callable

from .cells import NOT_MEASURED, SETTINGS, TITLES, Setting, command, published_rows


def recipe(study: str, preset: str) -> Callable[[], str]:
    """Tells the rows, the command, the time and the published scores; called for `--help` alone, it reads a file."""
    return lambda: "\n\n".join(_describe(setting) for setting in SETTINGS if _of(setting) == (study, preset))


def faces() -> str:
    """The recipe of the auto-encoder, for which the paper shows pictures and tells no score."""
    return (
        "Fig. 9 of Gao et al. (2017): CelebA, DCL against PixelDCL. Expected score: none is published; samples of "
        f"PixelDCL should show less of a checkerboard. Time of a run on one GPU: {NOT_MEASURED}. Command:\n\n"
        "python -m experiments.vae compare celeba --data.root FOLDER --methods dcl fast_pixel_dcl --seeds 0 1 2"
    )


def _of(setting: Setting) -> tuple[str, str]:
    return setting.study, setting.preset


def _describe(setting: Setting) -> str:
    scores = ", ".join(f"{row} {values['mean IoU']:.1f}" for row, values in published_rows(setting).items())
    return (
        f"{TITLES[setting.table]}: {setting.title}. Expected score, as published, mean IoU %: {scores}. Time of a run "
        f"on one GPU: {setting.time}. Command:\n\n{command(setting)}"
    )
