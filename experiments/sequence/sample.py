"""A run read back: scored on a split, or sampled from."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from smoothjax import training

from ..common.config import fill_devices
from ..common.evaluate import Scored, save_scores
from ..common.identity import recorded
from ..common.network import Network
from ..common.run_folder import DATA_FILE, RESULT_FILE, load_config, read_object
from ..common.trained import Checkpoint, restore
from .config import Config
from .scores import Scorer
from .study import STUDY, describe
from .tasks import Sizes, Symbols, describe_text, encode, open_task


@dataclass(frozen=True)
class Trained:
    """A run read back: its configuration, its network, and the state of a checkpoint."""

    config: Config
    network: Network
    state: training.TrainState
    step: int


def read_run(folder: Path, sizes: Sizes, checkpoint: Checkpoint) -> Trained:
    """Reads a run's best or latest checkpoint."""
    config = load_config(folder, Config)
    network = STUDY.build_network(config, sizes)
    optimizer, _ = STUDY.make_optimizer(config)
    mesh = training.data_mesh()
    restored = restore(folder, network, optimizer, mesh, checkpoint, metric=STUDY.metric, mode=STUDY.mode)
    return Trained(config, network, restored.state, restored.step)


def evaluate(folder: Path, split: str, checkpoint: Checkpoint, data_file: Path | None = None) -> Scored:
    """Scores and gridding of a run on a split; written to `evaluation-SPLIT.json`, or as `evaluate` says.

    With `data_file`, of the text that lies there now; of another text, in the characters that the run has learnt.
    """
    config, scored, foreign = load_config(folder, Config).data, {}, None
    if data_file is not None:
        if config.name != "text":
            raise ValueError(f"--data-file is for texts, and {folder} has learnt {config.name}: leave it out")
        config = dataclasses.replace(config, file=data_file)
    if config.name == "text":
        described = _describe(config.file)
        scored = {"text": str(config.file), "sha256": described["sha256"]}
        learnt = recorded(folder).get("sha256")
        foreign = None if learnt in (None, described["sha256"]) else config.file
    task = open_task(config, _alphabet(folder))
    examples = task.split(split)
    run = read_run(folder, task, checkpoint)
    mesh = training.data_mesh()
    size = fill_devices(run.config, mesh.size).eval_batch_size
    scores = Scorer(task, run.network, size, mesh).score(run.state, examples)
    results, _ = describe(run.network, run.state, task, split)
    result = {"split": split, "checkpoint": checkpoint, "step": run.step, **scored, **scores, **results}
    return save_scores(folder, result, checkpoint, foreign=foreign)


def sample(folder: Path, prompt: str, length: int, temperature: float, seed: int, checkpoint: Checkpoint) -> str:
    """A beginning and what follows it, character by character."""
    if not prompt:
        raise ValueError("--prompt must have at least one character, got none: give the beginning of a sentence")
    if length < 1:
        raise ValueError(f"--length must be at least 1 character, got {length}: try 400")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"--temperature must be finite and not negative, got {temperature}: 1 is what was learnt")
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}: try 0")
    config = load_config(folder, Config).data
    if config.name != "text":
        title = open_task(config).title
        raise ValueError(f"{folder} has learnt {title}, and only a text can be written on: train the preset text")
    alphabet = _alphabet(folder)
    if alphabet is None:
        alphabet = _describe(config.file)["alphabet"]
    symbols = [int(symbol) for symbol in encode(prompt, alphabet, "--prompt")]
    run = read_run(folder, Symbols(len(alphabet)), checkpoint)
    predict, rng = Predictor(run), np.random.default_rng(seed)
    for _ in range(length):
        logits = predict(np.asarray(symbols, np.int32))
        # Gumbel's trick: the largest of the noisy logits is a draw from the distribution.
        noise = temperature * rng.gumbel(size=logits.shape)
        symbols.append(int(np.argmax(logits + noise)))
    return "".join(alphabet[symbol] for symbol in symbols)


class Predictor:
    """The logits of the next symbol after any number of symbols, compiled once.

    The network sees `receptive_field` steps. The past beyond them is cut off by multiples of its largest rate, so that
    the blocks of group interaction stay where they are: nothing changes.
    """

    def __init__(self, run: Trained):
        params, model_state = (jax.tree.map(np.asarray, tree) for tree in (run.state.params, run.state.model_state))
        model = nnx.merge(run.network.eval_graph, params, model_state)
        self._period = model.rates[-1]
        self._steps = (-(-model.receptive_field // self._period) + 1) * self._period

        @jax.jit
        def predict(symbols: jax.Array, last: jax.Array) -> jax.Array:
            return jnp.take(model(symbols)[0], last, 0)

        self._predict = predict

    def __call__(self, symbols: np.ndarray) -> np.ndarray:
        """Maps symbols `[n]` to logits float32 `[vocabulary]`."""
        surplus = max(0, len(symbols) - self._steps)
        kept = symbols[-(-surplus // self._period) * self._period :]
        # Whatever follows the last symbol cannot be seen from it.
        padded = np.zeros((1, self._steps), np.int32)
        padded[0, : len(kept)] = kept
        return np.asarray(self._predict(padded, len(kept) - 1))


def _describe(file: Path | None) -> dict[str, Any]:
    """See `describe_text`; says how to name a text that is not where it was."""
    assert file is not None  # see DataConfig.validate
    if not file.is_file():
        raise FileNotFoundError(f"{file}, the text, is not there: name it with evaluate RUN --data-file FILE")
    return describe_text(file)


def _alphabet(folder: Path) -> str | None:
    """What the symbols of a run mean that has learnt a text; None where its folder does not say it."""
    # Runs of earlier versions have it in their result, once they are finished.
    for path in (folder / DATA_FILE, folder / RESULT_FILE):
        found = read_object(path).get("alphabet") if path.exists() else None
        if found is not None:
            return found
    return None
