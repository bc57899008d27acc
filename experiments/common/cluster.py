"""Several processes that train one run, on one machine or many; imports JAX only once it is needed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """The place of this process among several."""

    distributed: bool = False
    """Whether this is one of several processes, described by the environment of Slurm, Open MPI, Kubernetes or a TPU
    pod."""
    coordinator: str | None = None
    """HOST:PORT of process 0, if the environment does not give it."""
    processes: int | None = None
    """Number of processes, with --coordinator."""
    process_index: int | None = None
    """Number of this process, from 0, with --coordinator."""

    def join(self) -> None:
        """Connects to the other processes, if any; call it before JAX touches a device.

        Raises:
          ValueError: the options do not fit together, or the environment describes no cluster.
        """
        by_hand = {
            "--coordinator": self.coordinator,
            "--processes": self.processes,
            "--process-index": self.process_index,
        }
        missing = [option for option, value in by_hand.items() if value is None]
        if 0 < len(missing) < 3:
            raise ValueError(
                "--coordinator HOST:PORT, --processes N and --process-index I go together; missing "
                f"{', '.join(missing)}"
            )
        if not missing:
            self._check_by_hand()
        elif not self.distributed:
            return
        import jax

        try:
            jax.distributed.initialize(self.coordinator, self.processes, self.process_index)
        except ValueError as error:
            raise ValueError(
                f"--distributed found no cluster in the environment ({error}): start with srun, mpirun or on a TPU "
                "pod, or describe it with --coordinator HOST:PORT --processes N --process-index I"
            ) from error

    def _check_by_hand(self) -> None:
        host, _, port = (self.coordinator or "").rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"--coordinator must be HOST:PORT, got {self.coordinator!r}: e.g. node0:9731")
        count, index = self.processes or 0, self.process_index or 0
        if count < 1 or not 0 <= index < count:
            raise ValueError(
                f"--process-index must be 0 .. processes - 1, got {index} of {count} processes: give each its own"
            )
