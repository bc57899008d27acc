"""The network of a run as a file of weights, which any program with smoothjax loads."""

from pathlib import Path

from smoothjax import weights
from smoothjax.files import check_writable

from .comparison import C
from .learner import S, T
from .network import M
from .study import Study
from .trained import AskedWeights, Checkpoint, read_run


def check_out(out: Path, example: str) -> None:
    """Refuses a folder in place of a file, and a file that cannot be written."""
    if out.is_dir():
        raise ValueError(f"--out must be a file, got the folder {out}: name it e.g. {example}")
    check_writable(out, name="--out")


def export_weights(
    study: Study[C, T, S, M], folder: Path, out: Path, checkpoint: Checkpoint, weights_of: AskedWeights = "better"
) -> str:
    """Writes the network of a run with its classes and the preprocessing of its images; returns how to load it.

    Raises:
      ValueError: `out` is a folder, or has another suffix than .safetensors.
    """
    check_out(out, "model.safetensors")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out}: name it e.g. {out.with_suffix('.safetensors')}")
    trained = read_run(study, folder, checkpoint, weights=weights_of)
    out.parent.mkdir(parents=True, exist_ok=True)
    model = trained.local_model()
    classes = study.class_names(trained.target)
    weights.save(model, out, classes=classes, preprocessing=study.preprocessing(trained.config))
    usage = study.usage(trained.config, out)
    return f"""{out}: step {trained.step}, a {type(model).__name__} with its weights.
In Python:
  from smoothjax import {"models, " * bool(usage)}weights
  model = weights.load("{out}")  # in evaluation mode; weights.describe has classes and preprocessing
  {usage}""".rstrip()
