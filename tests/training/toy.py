"""A segmentation problem of one convolution, small enough to train in a second; as a script, a run that can be killed.

`python toy.py FOLDER` trains into FOLDER and prints the loop's output. With `--kill-at N` it kills itself, without any
chance to clean up, when it asks for batch N; with `--full-at N` the disk is full from then on. With `--process I --port
P` it is one of two processes that train as one.
"""

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from smoothjax import training

CLASSES, SIZE = 3, 8
SCHEDULE = training.poly_schedule(0.05, 100)


def make_optimizer() -> optax.GradientTransformation:
    return training.sgd(SCHEDULE, weight_decay=5e-4)


def make_state(dtype: Any = jnp.float32, average: bool = False) -> training.TrainState:
    kernel = 0.1 * jax.random.normal(jax.random.key(0), (3, 3, 3, CLASSES), dtype)
    # Integer keys: lists of modules become dicts with them.
    params = {"convs": {0: {"kernel": kernel, "bias": jnp.zeros(CLASSES, dtype)}}}
    model_state = {"norm": {"mean": jnp.zeros(3, dtype)}, "count": jnp.zeros((), jnp.int32)}
    return training.create_state(params, model_state, make_optimizer(), average=average)


def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
    image, conv = batch["image"], params["convs"][0]
    layout = ("NHWC", "HWIO", "NHWC")
    logits = jax.lax.conv_general_dilated(image, conv["kernel"], (1, 1), "SAME", dimension_numbers=layout)
    logits = logits + conv["bias"].reshape(1, 1, 1, -1)
    loss_sum, count = training.cross_entropy(logits, batch["label"])
    mean = 0.9 * model_state["norm"]["mean"] + 0.1 * image.mean((0, 1, 2))
    correct = jnp.sum((logits.argmax(-1) == batch["label"]).astype(image.dtype))
    new_state = {"norm": {"mean": mean}, "count": model_state["count"] + 1}
    return training.LossOutput(loss_sum, count, new_state, {"accuracy": correct})


def example(index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An image whose label is its strongest channel, with random mirroring and noise, and ignored rows."""
    image = np.random.default_rng(index).normal(size=(SIZE, SIZE, 3)).astype(np.float32)
    label = image.argmax(-1)
    label[: index % SIZE] = 255
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    return {"image": image + 0.1 * rng.normal(size=image.shape).astype(np.float32), "label": label}


def make_iterator(batch_size: int = 8, examples: int = 48, part: slice = slice(None)) -> grain.DatasetIterator:
    """Six batches per epoch, shuffled and randomly augmented, read ahead by two threads."""
    dataset = grain.MapDataset.source(list(range(examples))).seed(3).shuffle().repeat().random_map(example)[part]
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)
    return iter(dataset.batch(batch_size).to_iter_dataset(read))


def fixed_batch(rows: int, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    examples = [example(index, np.random.default_rng(index)) for index in range(rows)]
    batch = {name: np.stack([x[name] for x in examples]) for name in ("image", "label")}
    return {"image": batch["image"].astype(dtype), "label": batch["label"].astype(np.int32)}


class Wrapped(grain.DatasetIterator):
    """An iterator that passes its batches through a function of their number."""

    def __init__(self, inner: grain.DatasetIterator, change: Any):
        super().__init__()
        self._inner, self._change, self._count = inner, change, 0

    def __next__(self) -> Any:
        batch = self._change(self._count, next(self._inner))
        self._count += 1
        return batch

    def get_state(self) -> Any:
        return {"inner": self._inner.get_state(), "count": self._count}

    def set_state(self, state: Any) -> None:
        self._inner.set_state(state["inner"])
        self._count = state["count"]

    def start_prefetch(self) -> None:
        self._inner.start_prefetch()


def fit(
    folder: Path,
    *,
    max_steps: int = 20,
    iterator: Any = None,
    devices: int | None = None,
    evaluate: Callable[[training.TrainState], dict[str, float]] | None = None,
    ranks: Callable[[int], bool] = lambda _: True,
    progress: bool = False,
    log_every: int = 4,
    evaluate_every: int = 1000,
    checkpoint_every: int = 5,
    patience: int | None = None,
    refresh: Callable[[training.TrainState], training.TrainState] | None = None,
    **problem: Any,
) -> Any:
    evaluator = None
    if evaluate is not None:
        judge = evaluate

        def judged(state: training.TrainState) -> training.Evaluation[None]:
            return training.Evaluation(judge(state), None, ranks(int(state.step)))

        evaluator = training.Evaluator(judged, refresh=refresh)
    defaults: dict[str, Any] = {
        "loss_fn": loss_fn,
        "optimizer": make_optimizer(),
        "schedule": SCHEDULE,
        "state": make_state(),
        "iterator": make_iterator() if iterator is None else iterator,
    }
    return training.fit(
        training.LoopConfig(max_steps, 1, log_every, evaluate_every, checkpoint_every, patience),
        training.Problem(**(defaults | problem)),
        folder,
        mesh=training.data_mesh(jax.devices()[:devices]),
        evaluator=evaluator,
        progress=progress,
    )


def at(state: training.TrainState, step: int) -> training.TrainState:
    """A state with its step in every leaf."""
    return jax.tree.map(lambda x: jnp.full_like(x, step), state)


def save(folder: Path, values: dict[int, dict[str, float] | None], **options: Any) -> None:
    """Saves checkpoints of some steps, each with its metrics."""
    iterator = make_iterator()
    with training.Checkpoints(folder, **options) as checkpoints:
        for step, metrics in values.items():
            next(iterator)
            checkpoints.save(step, at(make_state(), step), iterator, metrics=metrics)


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def _act_at(folder: Path, batch_index: int, action: Callable[[], object]) -> Any:
    def change(index: int, batch: Any) -> Any:
        if index == batch_index:
            # The save before runs in the background; the test wants it finished, not lucky.
            while not (folder / "checkpoints" / str((index - 1) // 5 * 5)).exists():
                time.sleep(0.01)
            action()
        return batch

    return change


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill_disk() -> None:
    # No file can grow beyond this: writing fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))


def main(arguments: Sequence[str]) -> None:
    """Trains as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for option in ("--kill-at", "--full-at", "--process", "--port"):
        parser.add_argument(option, type=int, default=-1)
    parser.add_argument("--max-steps", type=int, default=20)
    parser.add_argument("--checkpoint-every", type=int, default=5)
    args = parser.parse_args(arguments)
    if args.process < 0:
        index, action = (args.full_at, _fill_disk) if args.full_at >= 0 else (args.kill_at, _kill)
        iterator = Wrapped(make_iterator(), _act_at(args.folder, index, action))
        every = {"max_steps": args.max_steps, "checkpoint_every": args.checkpoint_every}
        fit(args.folder, iterator=iterator, log_every=4 if args.full_at < 0 else 1000, **every)
    else:
        jax.distributed.initialize(f"localhost:{args.port}", num_processes=2, process_id=args.process)
        for steps in (12, 20):  # the second run resumes the first one
            fit(args.folder, max_steps=steps, iterator=make_iterator(4, part=slice(args.process, None, 2)))


if __name__ == "__main__":
    main(sys.argv[1:])
