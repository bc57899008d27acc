"""Checkpoints of a run: the best and the latest two, which survive any kill."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import grain.checkpoint
import jax
import orbax.checkpoint as ocp
import tensorstore
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from ._digest import check_digests, check_iterator, digests, iterator_digests, read_digests
from ._folder import StepFolders, check_folder
from ._logging import say
from ._state import TrainState, to_restore, to_save
from ._summary import KeepBest, Ranking, read_metrics, rewrite, without_nan

T = TypeVar("T")

# Orbax times a save by the wall clock, and gives up if the clock was set forward meanwhile: a machine without a battery
# starts in 1970. No clock is set forward by a hundred years.
_SAVE_TIMEOUT = 100 * 365 * 24 * 3600


class Restored(NamedTuple):
    """A checkpoint read back.

    Attributes:
      step: Number of updates done.
      state: The training state, on the devices of the template.
      metrics: The metrics of that step; empty if nothing was measured.
    """

    step: int
    state: TrainState
    metrics: dict[str, float]


class Checkpoints:
    """The checkpoints in a folder; a context manager, since a save without a wait is lost at exit.

    A checkpoint holds the training state, the position of the data iterator, a digest of each, and the metrics of that
    step. The latest two and the one with the best `metric` are kept. Saving is asynchronous and atomic: a kill during a
    save leaves earlier checkpoints intact. Every saved checkpoint is opened again, and every restored array is compared
    with its digest.

    Args:
      folder: The folder of the checkpoints, with one sub-folder per step; created if missing.
      metric: Name of the metric that ranks them. Checkpoints without it, or with NaN, have no rank.
      mode: "max" or "min", the best value of the metric.
      read_only: For evaluation, also during training: changes nothing in the folder.
      report: Called with messages for the user.

    Raises:
      ValueError: `mode` is unknown, or `folder` cannot hold checkpoints, see `check_folder`.
      FileNotFoundError: `read_only`, and the folder is missing.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        metric: str = "mean_iou",
        mode: str = "max",
        read_only: bool = False,
        report: Callable[[str], None] = say,
    ):
        self._ranking, self._report, self._read_only = Ranking(metric, mode), report, read_only
        self.folder: Path = check_folder(folder)
        self._unverified: tuple[int, int] | None = None
        if read_only and not self.folder.is_dir():
            raise FileNotFoundError(f"Checkpoints: no checkpoints in {self.folder}, the folder is missing; train first")
        # Orbax can rank checkpoints by itself, but then a damaged metrics file keeps the folder from opening at all.
        policies = [checkpoint_managers.LatestN(2), KeepBest(self._ranking)]
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                step_name_format=StepFolders(),
                async_options=ocp.AsyncOptions(timeout_secs=_SAVE_TIMEOUT),
                # Orbax's own `read_only` does no more than these two and warns at every opening.
                create=not read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )
        for step in self.steps:
            self._ranking.put(step, read_metrics(self.path(step)))

    @property
    def steps(self) -> list[int]:
        """The steps of the kept checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    @property
    def best_step(self) -> int | None:
        """The step of the kept checkpoint with the best metric, the later one of equals; None if none has it."""
        return self._ranking.best(self.steps)

    @property
    def best_value(self) -> float | None:
        """The best value of the metric; None if no checkpoint has it."""
        best = self.best_step
        return None if best is None else self._ranking.values[best]

    def path(self, step: int) -> Path:
        """The folder of one checkpoint."""
        return self.folder / str(step)

    def digest(self, step: int) -> str:
        """SHA-256 of the digests of all arrays of one checkpoint: equal if all arrays are equal.

        Raises:
          ValueError, OSError: The digests are damaged or missing.
        """
        arrays = read_digests(self.path(step)).state
        return hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest()

    def save(
        self,
        step: int,
        state: TrainState,
        iterator: grain.DatasetIterator[T],
        *,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Starts saving a checkpoint after waiting for the last save; the state may be donated afterwards.

        Args:
          step: Number of updates done, more than at the latest checkpoint.
          state: The training state of that step.
          iterator: The data iterator; its next batch is the first one of a resumed run.
          metrics: The metrics of this step.

        Raises:
          RuntimeError: The checkpoints were opened with `read_only`.
          OSError: This checkpoint, or the one before, cannot be written or opened again; earlier checkpoints are
            intact.
          ValueError: There is a checkpoint of this step or of a later one, or the state is of another step; nothing has
            changed.
        """
        self._check_writable(step)
        self.wait()
        latest = self._manager.latest_step()
        if latest is not None and step <= latest:
            raise ValueError(
                f"Checkpoints: step must be greater than the latest saved, {latest}, got {step}: use another folder "
                "for another run; `measure` gives metrics to a checkpoint that is saved"
            )
        held = to_save(state)
        if int(held.step) != step:
            raise ValueError(
                f"Checkpoints: step must be that of the state, {int(held.step)}, got {step}: a checkpoint is named "
                "after the updates it has seen"
            )
        arrays = digests(held)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(held),
            iterator=grain.checkpoint.CheckpointSave(iterator),
            digests=ocp.args.JsonSave({"state": arrays, "iterator": iterator_digests(iterator)}),
            summary=ocp.args.JsonSave(without_nan(self._ranking.summary(step, metrics or {}, self.steps))),
        )
        # Orbax asks for the best during the save, so the rank comes first; it does not count until there is a
        # checkpoint. The replaced checkpoint is only deleted once the new one is complete on disk.
        self._ranking.put(step, metrics or {})
        try:
            with self._writing():
                accepted = self._manager.save(step, args=args)
        finally:
            if step not in self.steps:
                self._ranking.put(step, {})
        if not accepted:
            raise ValueError(f"Checkpoints: step {step} was not accepted by Orbax and is not saved; save a later step")
        self._unverified = step, len(arrays)

    def measure(self, step: int, metrics: Mapping[str, float]) -> None:
        """Gives a saved checkpoint metrics that were measured afterwards, and so its rank.

        Args:
          step: The step of a kept checkpoint.
          metrics: The metrics of that step, which replace its former ones.

        Raises:
          RuntimeError, OSError, ValueError: As `save`, or there is no such checkpoint; nothing has changed.
        """
        self._check_writable(step)
        self.wait()
        if step not in self.steps:
            raise ValueError(f"Checkpoints: step must be one of those saved, {self.steps}, got {step}: save it first")
        if jax.process_index() == 0:
            with self._writing():
                rewrite(self.path(step), self._ranking.summary(step, metrics, self.steps))
        multihost_utils.sync_global_devices("wrote metrics")
        self._ranking.put(step, metrics)

    def wait(self) -> None:
        """Returns when the last save is on disk and can be opened; raises OSError if it cannot be written."""
        with self._writing():
            self._manager.wait_until_finished()
            self._verify()

    def restore_latest(self, template: TrainState, iterator: grain.DatasetIterator[T] | None = None) -> Restored | None:
        """Reads the newest checkpoint that can be read.

        If the newest is damaged, it reports that, reads the one before, and renames the damaged one to
        `<step>.damaged`, so that its step can be saved again. A checkpoint is damaged if it cannot be read, differs
        from its digest, or holds a state of another step than the name of its folder.

        Args:
          template: A state, or the same tree of `jax.ShapeDtypeStruct` with shardings: the arrays to restore, and their
            places, for any number of devices that saved them.
          iterator: An iterator to set to the saved position, or None.

        Returns:
          The checkpoint, or None if the folder has none.

        Raises:
          ValueError: None can be read; the message has the reason for each.
        """
        steps = self.steps[::-1]
        return self._restore_first(steps, template, iterator) if steps else None

    def restore_best(self, template: TrainState) -> Restored:
        """Reads the checkpoint with the best metric that can be read.

        If the best is damaged, it reports that and reads the next best, like `restore_latest`.

        Args:
          template: As in `restore_latest`.

        Returns:
          The checkpoint.

        Raises:
          FileNotFoundError: No checkpoint has the metric.
          ValueError: No checkpoint with the metric can be read.
        """
        ranked = self._ranking.ranked(self.steps)
        if not ranked:
            raise FileNotFoundError(
                f"Checkpoints: none of the checkpoints {self.steps} in {self.folder} has the metric "
                f"{self._ranking.metric!r}; train until the first evaluation that ranks, or use restore_latest"
            )
        return self._restore_first(ranked, template, None)

    def close(self) -> None:
        """Waits like `wait`, and ends the threads."""
        with self._writing():
            self._manager.close()
            self._verify()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The first error matters most; a stop is not an error, and reports that everything is saved.
        failed = error is not None and not isinstance(error, SystemExit)
        with contextlib.suppress(OSError) if failed else contextlib.nullcontext():
            self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Explains a failed save; TensorStore and Orbax raise errors of many kinds for a full disk."""
        try:
            yield
        except Exception as error:
            self._unverified = None
            # Orbax counts a checkpoint as soon as its save has begun, so list them again.
            with contextlib.suppress(Exception):
                self._manager.reload()
            kept = sorted(int(path.name) for path in self.folder.glob("[0-9]*") if path.name.isdigit())
            raise OSError(
                f"a checkpoint could not be written to {self.folder} ({_first_line(error)}). The checkpoints of the "
                f"steps {kept} are intact: free space there or make the folder writable, then continue with the same "
                "command"
            ) from error

    def _verify(self) -> None:
        """Opens the saved checkpoint like a reader: Orbax may report success although nothing can be found again."""
        if self._unverified is None:
            return
        (step, count), self._unverified = self._unverified, None
        folder = self.path(step)
        self._manager.reload()
        if step not in self.steps:
            raise OSError(f"{folder} was written and is not found again")
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{folder / 'state'}/"}).result()
        found = sum(key.endswith((b"/.zarray", b"/zarr.json")) for key in store.list().result())
        if found != count:
            raise OSError(f"{folder} was written, and {found} of its {count} arrays are found again")
        read_digests(folder)

    def _restore_first(
        self, steps: Iterable[int], template: TrainState, iterator: grain.DatasetIterator[T] | None
    ) -> Restored:
        """Restores the first of these steps that can be restored, and renames the damaged ones before it."""
        failed: dict[int, str] = {}
        for step in steps:
            try:
                restored = self._restore(step, template, iterator)
            except Exception as error:  # Orbax, TensorStore and JSON raise various errors for a damaged file
                failed[step] = _first_line(error)
                continue
            for bad, reason in failed.items():
                self._report(f"checkpoint {self.path(bad)} is damaged ({reason}); using step {step} instead")
            self._set_aside(failed)
            return restored
        reasons = "".join(f"\n  step {step}: {reason}" for step, reason in failed.items())
        raise ValueError(
            f"Checkpoints: no checkpoint in {self.folder} can be restored:{reasons}\nIf the model, the optimiser or "
            "the number of processes has changed since, use another folder; if the files are damaged, delete this one."
        )

    def _restore(self, step: int, template: TrainState, iterator: grain.DatasetIterator[T] | None) -> Restored:
        folder, expected = self.path(step), read_digests(self.path(step))
        items = ocp.args.Composite(state=ocp.args.StandardRestore(to_restore(template)))
        state: TrainState = self._manager.restore(step, args=items)["state"]
        check_digests(state, expected.state)
        if int(state.step) != step:
            raise ValueError(f"the folder is named {step}, the state in it is of step {int(state.step)}")
        if iterator is not None:  # last, so that only a good checkpoint moves it
            check_iterator(folder / "iterator", expected.iterator)
            items = ocp.args.Composite(iterator=grain.checkpoint.CheckpointRestore(iterator))
            self._manager.restore(step, args=items)
        return Restored(step, state, read_metrics(folder))

    def _check_writable(self, step: int) -> None:
        if self._read_only:
            raise RuntimeError(f"Checkpoints: {self.folder} was opened read_only, step {step} cannot be saved there")

    def _set_aside(self, steps: Iterable[int]) -> None:
        steps = list(steps)
        if self._read_only or not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                target, tries = self.folder / f"{step}.damaged", 1
                while target.exists():
                    target, tries = self.folder / f"{step}.damaged.{tries}", tries + 1
                os.rename(self.path(step), target)
        multihost_utils.sync_global_devices("set damaged checkpoints aside")
        for step in steps:
            self._ranking.put(step, {})
        self._manager.reload()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
