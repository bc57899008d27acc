"""Sampling text from a run."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from smoothjax import models

from ..common.run_folder import load_config
from ..common.trained import Checkpoint, read_run
from .config import Config
from .study import STUDY
from .tasks import encode, open_task


def sample(folder: Path, prompt: str, length: int, temperature: float, seed: int, checkpoint: Checkpoint) -> str:
    """Continues a prompt, character by character."""
    if not prompt:
        raise ValueError("--prompt must have at least one character, got none: give the beginning of a sentence")
    if length < 1:
        raise ValueError(f"--length must be at least 1 character, got {length}: try 400")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"--temperature must be finite and not negative, got {temperature}: 1 samples as learnt")
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}: try 0")
    config = load_config(folder, Config).data
    if config.name != "text":
        title = open_task(config).title
        raise ValueError(f"{folder} has learnt {title}, but only a text can be continued: train the preset text")
    alphabet = STUDY.read_target(load_config(folder, Config), folder).alphabet or ""
    symbols = [int(symbol) for symbol in encode(prompt, alphabet, "--prompt")]
    model = read_run(STUDY, folder, checkpoint).local_model()
    predict, rng = Predictor(model), np.random.default_rng(seed)
    for _ in range(length):
        logits = predict(np.asarray(symbols, np.int32))
        # Gumbel's trick: the largest of the noisy logits is a draw from the distribution.
        noise = temperature * rng.gumbel(size=logits.shape)
        symbols.append(int(np.argmax(logits + noise)))
    return "".join(alphabet[symbol] for symbol in symbols)


class Predictor:
    """The logits of the next symbol after any number of symbols, compiled once.

    The network sees `receptive_field` steps. The earlier past is cut off by multiples of its largest rate, so the
    blocks of group interaction keep their positions and the result does not change.
    """

    def __init__(self, model: models.TemporalConvNet):
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
        # The network is causal, so the padding after the last symbol has no effect.
        padded = np.zeros((1, self._steps), np.int32)
        padded[0, : len(kept)] = kept
        return np.asarray(self._predict(padded, len(kept) - 1))
