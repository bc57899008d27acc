"""The tasks: inputs, targets and scored steps, and the best score without looking at the past.

An example is a dict of `"input"`, `"target"` and `"weight"`, each over T steps; only steps of weight 1 are scored.
"""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from smoothjax import data

from .config import DataConfig

Example = dict[str, np.ndarray]

# Seeds of the drawn splits; nothing else uses them, so every run is scored on the same examples.
_HELD_OUT = {"train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class Trivial:
    """The best prediction that ignores the past.

    Attributes:
      name: its name in tables.
      score: its expected score.
      accuracy: its share of right symbols; None for real outputs.
    """

    name: str
    score: float
    accuracy: float | None = None


class Sizes:
    """The sizes of a network's inputs and outputs at each step.

    Attributes:
      vocabulary: number of input symbols; None for real inputs.
      in_features: channels of real inputs; None for symbols.
      out_features: size of the output.
      alphabet: characters of a text, by symbol.
    """

    vocabulary: int | None = None
    in_features: int | None = None
    out_features: int
    alphabet: str | None = None


class Characters(Sizes):
    """Prediction of the next character of an alphabet."""

    def __init__(self, alphabet: str):
        self.alphabet, self.vocabulary, self.out_features = alphabet, len(alphabet), len(alphabet)


class Task(Sizes, ABC):
    """A task.

    Attributes:
      title: its name in headings.
      unit: unit of the score, lower is better: bits of cross-entropy, or the squared error of real outputs.
      length: steps T of an example.
      trivial: see `Trivial`.
    """

    title: str
    unit: ClassVar[str] = "bits per symbol"
    length: int
    trivial: Trivial

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Example:
        """A training example."""

    @abstractmethod
    def split(self, name: str) -> list[Example]:
        """The examples of a split, the same for every run."""


class Split:
    """The examples of a split of a task, by index; made on first use."""

    def __init__(self, task: Task, name: str):
        self.task, self.name = task, name

    @functools.cached_property
    def examples(self) -> list[Example]:
        """All examples."""
        return self.task.split(self.name)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


class Stream:
    """The indices at which training examples are drawn: an endless stream without content."""

    def __len__(self) -> int:
        return 2**16

    def __getitem__(self, index: int, /) -> Example:
        return {}


@dataclass(frozen=True)
class Draw:
    """Draws a training example, for `data.train_iterator`."""

    task: Task

    def __call__(self, record: data.Record, rng: np.random.Generator, /) -> Example:
        """The record is empty."""
        return self.task.draw(rng)


def _drawn(task: Task, split: str, count: int) -> list[Example]:
    """A split of drawn examples; each depends only on its index in the split."""
    if split not in _HELD_OUT:
        raise ValueError(f"--split must be one of {', '.join(_HELD_OUT)}, got {split!r}: take val")
    return [task.draw(np.random.default_rng((2018, _HELD_OUT[split], index))) for index in range(count)]


class CopyTask(Task):
    """Copy memory: n symbols of an alphabet A, then blanks, and after a signal the same symbols again.

    Symbols are 1 .. A, the blank is 0, the signal A + 1. The n last steps are scored; of each symbol the copy comes n +
    delay steps later. Guessing needs log2(A) bits a symbol.

    References:
      Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Arjovsky et al., Unitary Evolution Recurrent Neural
      Networks, 2016; Bai et al., 2018.
    """

    def __init__(self, symbols: int, alphabet: int, delay: int, examples: int):
        self.title = f"copying {symbols} symbols after {delay} steps"
        self._symbols, self._alphabet, self._examples = symbols, alphabet, examples
        self.lag = symbols + delay
        self.length = self.lag + symbols
        self.vocabulary = self.out_features = alphabet + 2
        self.trivial = Trivial("guessing", float(np.log2(alphabet)), 1 / alphabet)

    def draw(self, rng: np.random.Generator) -> Example:
        """An example: input and target int32, weight float32, `[T]` each."""
        symbols = rng.integers(1, self._alphabet + 1, self._symbols)
        inputs, target = np.zeros((2, self.length), np.int32)
        inputs[: self._symbols], target[self.lag :] = symbols, symbols
        inputs[self.lag - 1] = self._alphabet + 1
        return {"input": inputs, "target": target, "weight": (np.arange(self.length) >= self.lag).astype(np.float32)}

    def split(self, name: str) -> list[Example]:
        """See `Task`."""
        return _drawn(self, name, self._examples)


class AddingTask(Task):
    """The adding problem: numbers in 0 .. 1, one marked in each half; the target at the last step is their sum.

    The constant answer 1 has a mean squared error of 1/6, the variance of the sum.

    References:
      Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Bai et al., 2018.
    """

    unit: ClassVar[str] = "mean squared error"

    def __init__(self, length: int, examples: int):
        self.title = f"adding two numbers among {length}"
        self.length, self._examples = length, examples
        self.in_features, self.out_features = 2, 1
        self.trivial = Trivial("always 1", 1 / 6)

    def draw(self, rng: np.random.Generator) -> Example:
        """An example: input `[T, 2]`, numbers and marks; target and weight `[T]`; all float32."""
        numbers, marks = rng.random(self.length, np.float32), np.zeros(self.length, np.float32)
        half = self.length // 2
        marks[[rng.integers(half), half + rng.integers(self.length - half)]] = 1
        last = (np.arange(self.length) == self.length - 1).astype(np.float32)
        return {
            "input": np.stack([numbers, marks], -1),
            "target": last * np.sum(numbers * marks),
            "weight": last,
        }

    def split(self, name: str) -> list[Example]:
        """See `Task`."""
        return _drawn(self, name, self._examples)


class TextTask(Task):
    """The next character of a text; its beginning is for training, its end is held out.

    Args:
      text: the text.
      length: characters of an example.
      val_share: share of the text that is held out.
      alphabet: characters by their symbols; by default those of the text.
      source: name of the text in messages.

    Raises:
      ValueError: the text is too short, or has characters that the alphabet lacks.
    """

    unit: ClassVar[str] = "bits per character"

    def __init__(
        self, text: str, length: int, val_share: float, *, alphabet: str | None = None, source: str = "the text"
    ):
        self.title = "the characters of a text"
        self.alphabet = alphabet_of(text) if alphabet is None else alphabet
        if len(self.alphabet) < 2:
            raise ValueError(f"{source} must have at least 2 different characters, got {self.alphabet!r}: take another")
        symbols = encode(text, self.alphabet, source)
        held_out = round(len(text) * val_share)
        if min(held_out, len(text) - held_out) < length + 1:
            raise ValueError(
                f"{source} is too short: of its {len(text)} characters {held_out} are held out (--data.val-share "
                f"{val_share}), and both parts must have at least {length + 1}, one more than --data.length: take a "
                "longer text or a smaller length"
            )
        self.length = length
        self.vocabulary = self.out_features = len(self.alphabet)
        self.parts = {"train": symbols[:-held_out], "val": symbols[-held_out:]}
        self.trivial = self._frequencies()

    def draw(self, rng: np.random.Generator) -> Example:
        """A stretch of the training part: input and target int32, weight float32, `[T]` each."""
        train = self.parts["train"]
        start = rng.integers(len(train) - self.length)
        return _stretch(train, int(start), self.length, fresh=self.length)

    def split(self, name: str) -> list[Example]:
        """Overlapping stretches: every character except the first is scored once, with half a stretch before it."""
        if name not in self.parts:
            raise ValueError(f"--split must be train or val for a text, got {name!r}: its end is the split val")
        symbols = self.parts[name]
        return [_stretch(symbols, start, self.length, fresh) for start, fresh in _starts(len(symbols), self.length)]

    def _frequencies(self) -> Trivial:
        """Cross-entropy of the held-out part under the frequencies of the training part plus one."""
        counts = 1 + np.bincount(self.parts["train"], minlength=self.out_features)
        scored = self.parts["val"][1:]
        bits = -np.log2(counts / counts.sum())[scored].mean()
        return Trivial("frequencies of characters", float(bits), float(np.mean(scored == counts.argmax())))


def open_task(config: DataConfig, alphabet: str | None = None) -> Task:
    """The task of a configuration; for a text, reads the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not text in UTF-8, or does not suit.
    """
    if config.name == "copy":
        return CopyTask(config.symbols, config.alphabet, config.delay, config.val_examples)
    if config.name == "adding":
        return AddingTask(config.length, config.val_examples)
    assert config.file is not None  # see DataConfig.validate
    source = f"--data.file {config.file}"
    return TextTask(_read(config.file), config.length, config.val_share, alphabet=alphabet, source=source)


def describe_text(path: Path) -> dict[str, str]:
    """The record of a text in the folder of a run: its name, the SHA-256 of its characters, and its alphabet.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not a text in UTF-8.
    """
    text = _read(path)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"name": f"--data.file {path}", "sha256": digest, "alphabet": alphabet_of(text)}


def alphabet_of(text: str) -> str:
    """The sorted characters of a text; the index of each is its symbol."""
    return "".join(sorted(set(text)))


def encode(text: str, alphabet: str, source: str) -> np.ndarray:
    """Characters as symbols 0 .. len(alphabet) - 1, int32; refuses characters missing from the alphabet."""
    number = {character: index for index, character in enumerate(alphabet)}
    unknown = sorted(set(text) - set(number))
    if unknown:
        raise ValueError(
            f"{source} has characters that the training text lacks, {' '.join(map(repr, unknown[:8]))}: leave them out"
        )
    return np.fromiter((number[character] for character in text), np.int32, len(text))


def _read(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"--data.file {path} is not a file: name a text in UTF-8")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--data.file {path} must be text in UTF-8, but byte {error.start} is not: convert it, e.g. with iconv"
        ) from error
    if not text:
        raise ValueError(f"--data.file {path} is empty: name a text in UTF-8")
    return text


def _stretch(symbols: np.ndarray, start: int, length: int, fresh: int) -> Example:
    """Characters, each with the next one as target; the last `fresh` of them are scored."""
    weight = (np.arange(length) >= length - fresh).astype(np.float32)
    return {
        "input": symbols[start : start + length],
        "target": symbols[start + 1 : start + 1 + length],
        "weight": weight,
    }


def _starts(count: int, length: int) -> Iterator[tuple[int, int]]:
    """The starts of stretches that cover a text, and the number of targets that are new in each."""
    covered = 0
    for start in range(0, count, length - length // 2):
        start = min(start, count - 1 - length)
        yield start, start + length - covered
        covered = start + length
        if covered == count - 1:
            return
