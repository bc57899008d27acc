"""Makes network, loss and optimiser from a configuration, and the table and figures from runs."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import jax
import numpy as np
import optax
from flax import nnx

from smoothjax import models, nn, training

from ..common.comparison import Comparison, Curve, Page, Result
from ..common.config import with_options
from ..common.learner import Loss
from ..common.methods import SMOOTHING_LABELS
from ..common.network import Tree, compute_dtype
from ..common.report import align, median_seconds, spread
from ..common.run_files import DATA_FILE, read_data, read_examples
from ..common.study import Origin, Scored, Study, Summary, Trained, means
from .config import Config
from .figures import draw_fields
from .gridding import measure, smoothing_parameters
from .scores import batches, spread_over, sums
from .tasks import Characters, CopyTask, Draw, Sizes, Split, Stream, Task, describe_text, open_task

_UNIT = "bits (adding: squared error)"


class Sequences(Study[Config, Sizes, Split, models.TemporalConvNet]):
    """Causal networks over time that differ in the smoothing of their dilated convolutions."""

    config = Config
    labels: ClassVar[Mapping[str, str]] = SMOOTHING_LABELS
    metric: ClassVar[str] = "score"
    mode: ClassVar[Literal["max", "min"]] = "min"
    unit: ClassVar[str] = "sequences"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "score", "Training", _UNIT),
        Curve("val", "score", "Validation", _UNIT),
    )

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Causal dilated convolutions: {open_task(config.data).title}"

    # Data.

    def open_split(self, config: Config, split: str, target: Sizes | None = None) -> Split:
        """A split of the task; a text is encoded with the characters that `target` has learnt."""
        file = config.data.file
        if target is None:
            return Split(open_task(config.data), split)
        if config.data.name == "text" and file is not None and not file.is_file():
            raise FileNotFoundError(f"{file}, the text, is not there: name it with evaluate RUN --data-file FILE")
        return Split(open_task(config.data, target.alphabet), split)

    def target(self, config: Config, source: Split) -> Task:
        """The task itself; warns if the network cannot see far enough for it."""
        task = source.task
        seen = nnx.eval_shape(lambda: self.make_model(config, task, nn.traced_rngs(0))).receptive_field
        if isinstance(task, CopyTask) and seen <= task.lag:
            training.say(
                f"an output sees {seen} steps, and what it is to copy came {task.lag} steps before: take a larger "
                f"--model.depth, or a smaller --data.delay"
            )
        return task

    def read_target(self, config: Config, folder: Path) -> Sizes:
        """The task, or the characters of a text, which need not be available."""
        if config.data.name != "text":
            return open_task(config.data)
        alphabet = read_data(folder).get("alphabet")
        if alphabet is None:
            raise ValueError(
                f"{folder} does not say which characters it has learnt, {DATA_FILE} is missing: restore it"
            )
        return Characters(alphabet)

    def training_examples(self, config: Config, source: Split) -> Stream:
        """See `Draw`."""
        return Stream()

    def augmentation(self, config: Config, target: Sizes) -> Draw:
        """Draws training examples."""
        assert isinstance(target, Task)  # see `target`
        return Draw(target)

    def batches(self, config: Config, source: Split, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """See `Study`."""
        return batches(spread_over(source.examples, limit), config.eval_batch_size)

    def moved(self, config: Config, place: Path) -> Config:
        """See `Study`."""
        if config.data.name != "text":
            raise ValueError(f"--data-file is for texts, and the run has learnt {config.data.name}: leave it out")
        return with_options(config, {"data.file": place})

    def describe_data(self, config: Config) -> Result:
        """Identifies a text by its content; `--data.file` is only its place."""
        return {} if config.data.file is None or config.data.name != "text" else describe_text(config.data.file)

    def origin(self, config: Config, folder: Path, split: str, source: Split) -> Origin:
        """See `Study`: characters identify a text."""
        found = self.describe_data(config)
        if not found:
            return Origin({}, None)
        learnt = read_data(folder).get("sha256")
        other = None if learnt in (None, found["sha256"]) else config.data.file
        return Origin({"text": str(config.data.file), "sha256": found["sha256"]}, other)

    # Network, loss and optimiser.

    def make_model(self, config: Config, target: Sizes, rngs: nnx.Rngs) -> models.TemporalConvNet:
        """Residual blocks of causal dilated convolutions."""
        model = config.model
        return models.TemporalConvNet(
            target.out_features,
            vocabulary=target.vocabulary,
            in_features=target.in_features,
            width=model.width,
            depth=model.depth,
            kernel_size=model.kernel_size,
            smoothing=model.smoothing,
            dtype=compute_dtype(model.precision),
            rngs=rngs,
        )

    def same_target(self, target: Sizes, other: Sizes) -> bool:
        """See `Study`: the same symbols, or real numbers."""
        return all(
            getattr(target, name) == getattr(other, name)
            for name in ("vocabulary", "in_features", "out_features", "alphabet")
        )

    def output_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`: the layers for symbols, at both ends."""
        return [("first",), ("head",)]

    def loss(self, config: Config, model: models.TemporalConvNet, batch: Mapping[str, jax.Array]) -> Loss:
        """Cross-entropy in nats, or squared error, of the scored steps."""
        found = sums(model(batch["input"]), batch)
        loss, steps = found.pop("loss"), found.pop("steps")
        return Loss(loss, steps, found)

    def make_optimizer(self, config: Config, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam, with a rate that falls to 0, of a gradient clipped to norm 1."""
        schedule = optax.cosine_decay_schedule(config.optim.learning_rate, config.steps)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)), schedule

    # Scores.

    def score(self, config: Config, model: models.TemporalConvNet, batch: Mapping[str, jax.Array]) -> tuple[Tree, None]:
        """Sums over the scored steps."""
        return sums(model(batch["input"]), batch), None

    def scores(self, totals: Tree) -> dict[str, float]:
        """Means over the scored steps."""
        return means(totals, "steps")

    def summarize(
        self, trained: Trained[Config, Sizes, models.TemporalConvNet], source: Split, found: Scored
    ) -> Summary:
        """The trivial score, the gridding of the network, and its receptive fields."""
        model, task = trained.local_model(), source.task
        gridding = measure(model, source.examples)
        results = {
            "unit": task.unit,
            "trivial": {k: v for k, v in dataclasses.asdict(task.trivial).items() if v is not None},
            "sequences": len(source),
            "steps_per_sequence": task.length,
            "smoothing_parameters": smoothing_parameters(model),
            "gridding_rate": gridding.rate,
            "gridding": gridding.block,
            "gridding_network": gridding.network,
            "half_of_field": gridding.half,
        }
        return Summary(results, gridding.fields)

    # Presentation.

    def score_table(self, result: Result) -> str:
        """See `Study`."""
        accuracy = {"accuracy (%)": f"{100 * result['accuracy']:.1f}"} if "accuracy" in result else {}
        lines = {
            result["unit"]: f"{result['score']:.4f}",
            **accuracy,
            f"trivial: {result['trivial']['name']}": f"{result['trivial']['score']:.4f}",
            f"gridding of the block of rate {result['gridding_rate']}": f"{result['gridding']:.4f}",
            "gridding of the network": f"{result['gridding_network']:.4f}",
            "steps with half of the receptive field": f"{result['half_of_field']}",
        }
        return "\n".join(f"{name:>40}  {value:>10}" for name, value in lines.items())

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        trivial = result["trivial"]
        return (
            f"{result['val']['score']:.4f} {result['unit']} ({trivial['name']}: {trivial['score']:.4f}), gridding of "
            f"the block of rate {result['gridding_rate']}: {result['gridding']:.3f}"
        )

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread if there are several; the receptive fields of the last output."""
        first = next(iter(comparison.results.values()))[0]
        accurate = "accuracy" in first["val"]
        rows = []
        for method, runs in comparison.results.items():
            rows.append(
                [
                    comparison.labels[method],
                    spread([run["val"]["score"] for run in runs], 4),
                    *([spread([100 * run["val"]["accuracy"] for run in runs], 1)] if accurate else []),
                    f"{runs[0]['smoothing_parameters']:,}",
                    spread([run["gridding"] for run in runs], 3),
                    spread([run["gridding_network"] for run in runs], 3),
                    spread([run["half_of_field"] for run in runs], 0),
                    median_seconds(runs),
                ]
            )
        trivial = first["trivial"]
        accuracy = [f"{100 * trivial['accuracy']:.1f}"] if accurate else []
        rows.append([trivial["name"], f"{trivial['score']:.4f}", *accuracy, *"-----"])
        header = ["method", first["unit"], *(["accuracy %"] if accurate else []), "extra parameters"]
        header += ["gridding, last block", "gridding, network", "half of ERF, steps", "s / step"]
        return Page(align(header, rows), self._setting(comparison, first), figures=self._draw(comparison, first))

    def _setting(self, comparison: Comparison[Config], result: Result) -> str:
        config, rate = comparison.config, result["gridding_rate"]
        return f"""{open_task(config.data).title.capitalize()}: {result["sequences"]} validation sequences of
{result["steps_per_sequence"]} steps, after {comparison.steps} steps of {config.batch_size} sequences. Rates 1 ..
{2 ** (config.model.depth - 1)}, {config.model.kernel_size} taps, {config.model.width} channels. Gridding: phase
imbalance at rate {rate} (`smoothjax.analysis.phase_imbalance`) of the effective receptive field, 1 where all of it lies
on one of the {rate} phases, 0 where it is spread evenly; of the block of rate {rate} (skip connection included, from
its input, a mean over outputs of all phases), and of the last output of the whole network, which also shows where the
task draws its attention. Half of ERF: the fewest steps that hold half of the latter. The masked half of group
interactions is not counted as parameters."""

    def _draw(self, comparison: Comparison[Config], first: Result) -> Mapping[str, str]:
        seed = comparison.seeds[0]
        fields = {
            comparison.labels[method]: read_examples(comparison.folder(method, seed)) for method in comparison.results
        }
        title = f"{comparison.title}, seed {seed}"
        draw_fields(fields, first["gridding_rate"], comparison.out / "erf.png", title=title)
        return {"erf.png": "What the last output sees"}


STUDY = Sequences()
