"""Which of the processes that share a job this one is.

Every process predicts its own shards with its own devices; no result passes between them. Numbers
are all that they need, so `Host(index, count)` is enough where a batch system hands them out.
`join` also makes the processes known to JAX, without which the hosts of a TPU slice cannot start,
and which ends all of them when one is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from t5coref.core.errors import ConfigError, T5CorefError

SHUTDOWN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Host:
    """One of the processes that share a job.

    Attributes:
      index: its number, from 0 on.
      count: how many there are.
      joined: whether JAX knows of them all; they then have to end together.
    """

    index: int = 0
    count: int = 1
    joined: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"process {self.index} of {self.count}; expected a number from 0 to the number of "
                "processes, exclusive"
            )


def join(coordinator: str, count: int, index: int) -> Host:
    """Meets the other processes at `coordinator`, HOST:PORT of process 0; waits for all of them.

    Must come before the first computation of JAX.

    Raises:
      ConfigError: the numbers or the address make no sense.
      T5CorefError: the others were not met.
    """
    host = Host(index, count, joined=True)
    name, _, port = coordinator.rpartition(":")
    if not name or not port.isdigit():
        raise ConfigError(
            f"coordinator {coordinator!r}; expected HOST:PORT of process 0, such as 10.0.0.2:8476"
        )
    # Slurm and MPI would give each process one device: here it has all that it sees.
    _initialize(coordinator, count, index, cluster_detection_method="deactivate")
    return host


def join_detected() -> Host:
    """Meets the other processes as the environment says: a TPU slice, Slurm, Open MPI, Kubernetes.

    Must come before the first computation of JAX.

    Raises:
      ConfigError: nothing in the environment says it.
      T5CorefError: the others were not met.
    """
    import jax

    _initialize()
    return Host(jax.process_index(), jax.process_count(), joined=True)


def _initialize(*numbers: object, **options: object) -> None:
    import jax

    # That service would keep SIGTERM from ending the process; a job may end at any moment.
    jax.config.update("jax_enable_preemption_service", False)
    # Nothing passes between processes: the devices of a CPU need no network among them.
    jax.config.update("jax_cpu_collectives_implementation", None)
    try:
        jax.distributed.initialize(
            *numbers,  # type: ignore[arg-type]
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            **options,  # type: ignore[arg-type]
        )
    except ValueError as error:  # what JAX raises where it was told too little
        raise ConfigError(
            f"found no TPU slice, Slurm, Open MPI or Kubernetes job to join ({error}); give the "
            "coordinator, the number of processes and the number of this one"
        ) from None
    except RuntimeError as error:
        raise T5CorefError(
            f"could not meet the other processes: {error}; all of them have to be started, with "
            "the same coordinator, and must reach it"
        ) from error
