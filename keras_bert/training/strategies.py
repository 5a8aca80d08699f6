"""Where a run takes place: one device, the devices of one machine, several machines, a TPU."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import ConfigError, TrainingError

STRATEGIES = ("one_device", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A strategy and this process's place in it.

    Attributes:
        strategy: the `tf.distribute.Strategy`.
        name: one of `STRATEGIES`.
        worker, num_workers: number of this process, and how many there are.
        micro_batches: micro-batches a replica adds up before it updates.
    """

    strategy: tf.distribute.Strategy
    name: str
    worker: int = 0
    num_workers: int = 1
    micro_batches: int = 1

    @property
    def is_tpu(self) -> bool:
        """Whether XLA compiles whatever is run."""
        return self.name == "tpu"

    @property
    def is_cpu(self) -> bool:
        """Whether all replicas of this worker compute on its processor."""
        devices = self.strategy.extended.worker_devices
        return all(tf.DeviceSpec.from_string(device).device_type == "CPU" for device in devices)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.worker == 0

    @property
    def num_replicas(self) -> int:
        """Replicas of all workers together."""
        return self.strategy.num_replicas_in_sync

    @property
    def local_replicas(self) -> int:
        """Replicas of this worker."""
        return self.num_replicas // self.num_workers

    def with_micro_batches(self, batch_size: int, micro_batch_size: int) -> Distribution:
        """Cut a global batch: micro-batches of `micro_batch_size` examples a replica (0: one micro-batch).

        Raises:
            ConfigError: the batch cannot be cut evenly.
        """
        rows, rest = divmod(batch_size, self.num_replicas)
        if rest:
            raise ConfigError(
                f"training.batch_size: expected a multiple of {self.num_replicas} replicas, got {batch_size}"
            )
        count, rest = divmod(rows, micro_batch_size or rows)
        if rest:
            raise ConfigError(
                f"training.micro_batch_size: expected a divisor of {rows}, the examples of a replica "
                f"({batch_size} / {self.num_replicas} replicas), got {micro_batch_size}"
            )
        return dataclasses.replace(self, micro_batches=count)

    def place(self, batches: Sequence[Mapping[str, np.ndarray]]) -> Any:
        """This worker's rows of consecutive batches, each `[rows, ...]`, on its replicas: by feature
        `[len(batches), micro-batches, examples, ...]` a replica."""
        replicas, micro = self.local_replicas, self.micro_batches
        features = {}
        for name in batches[0]:
            rows = np.stack([batch[name] for batch in batches])
            features[name] = rows.reshape(len(batches), replicas, micro, -1, *rows.shape[2:])
        if replicas == 1 and self.name == "one_device":
            return {name: tf.convert_to_tensor(value[:, 0]) for name, value in features.items()}
        first = self.worker * replicas

        def value_of(context: tf.distribute.DistributedValues) -> dict[str, tf.Tensor]:
            replica = context.replica_id_in_sync_group - first
            return {name: tf.convert_to_tensor(value[:, replica]) for name, value in features.items()}

        return self.strategy.experimental_distribute_values_from_function(value_of)

    def sum_over_workers(self, values: np.ndarray) -> np.ndarray:
        """The sum of every worker's int32 array; all of them must call this."""
        if self.num_workers == 1:
            return values

        def own(context: Any) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group == self.worker * self.local_replicas
            return tf.constant(values if is_first else np.zeros_like(values), tf.int32)

        distributed = self.strategy.experimental_distribute_values_from_function(own)
        return self.strategy.experimental_local_results(_all_reduced(self.strategy)(distributed))[0].numpy()

    def any_worker(self, asks: bool) -> bool:
        """Whether any worker asks, the same answer on all of them; all must call this."""
        return bool(self.sum_over_workers(np.array([asks], np.int32))[0])

    def of_chief(self, value: int) -> int:
        """The chief's number on all workers; all must call this."""
        return int(self.sum_over_workers(np.array([value if self.is_chief else 0], np.int32))[0])


@functools.cache
def _all_reduced(strategy: tf.distribute.Strategy) -> Callable[[Any], Any]:
    """A value of each replica -> the sum of them on each."""

    def add(value: tf.Tensor) -> tf.Tensor:
        # The copy stands on the replica's device, where the collective looks for its place.
        value = tf.identity(value)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)

    return tf.function(lambda values: strategy.run(add, args=(values,)), autograph=False)


def make_distribution(name: str, *, worker_timeout: float = 300.0, tpu: str = "") -> Distribution:
    """The strategy of that name.

    Args:
        name: `one_device` (the first GPU, else the CPU), `mirrored` (all GPUs, else all logical CPU devices),
            `multi_worker` (the cluster of TF_CONFIG), `tpu`.
        worker_timeout: seconds to wait for the other workers of a cluster.
        tpu: name or grpc address of the TPU; empty on a TPU virtual machine means its own.

    Raises:
        ConfigError: an unknown name, or TF_CONFIG missing or malformed.
        TrainingError: a worker did not appear; the message says which.
    """
    if name == "one_device":
        device = "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"
        return Distribution(tf.distribute.OneDeviceStrategy(device), name)
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]), name)
    if name == "multi_worker":
        workers, index = read_cluster()
        wait_for_workers(workers, index, worker_timeout)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        _end_on_sigterm()
        return Distribution(strategy, name, index, len(workers))
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu or "local")
        if tpu:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Distribution(tf.distribute.TPUStrategy(resolver), name)
    raise ConfigError(f"distribution.strategy: expected one of {', '.join(STRATEGIES)}, got {name!r}")


def _end_on_sigterm() -> None:
    """TensorFlow's service of a cluster takes SIGTERM for itself and the process lives on: it does again what Python
    was told."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)


def read_cluster() -> tuple[list[str], int]:
    """The addresses of all workers and the number of this one, from TF_CONFIG.

    Raises:
        ConfigError: it is missing, not JSON, or names no such worker.
    """
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    text = os.environ.get("TF_CONFIG", "")
    try:
        content = json.loads(text)
        workers, index = list(content["cluster"]["worker"]), int(content["task"]["index"])
        kind = content["task"].get("type", "worker")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"TF_CONFIG: expected {example}, got {text or 'nothing'}") from None
    if set(content["cluster"]) != {"worker"} or kind != "worker" or not 0 <= index < len(workers):
        raise ConfigError(
            f"TF_CONFIG: expected workers alone and an index below {len(workers)}, as {example}; got {text}"
        )
    return workers, index


def wait_for_workers(workers: Sequence[str], index: int, timeout: float) -> None:
    """Return when every other worker accepts connections; until then hold this worker's own port open for them.

    TensorFlow itself waits for an hour, and does not say for whom.

    Raises:
        TrainingError: some did not within `timeout` seconds; the message names them.
    """
    missing = [i for i in range(len(workers)) if i != index]
    deadline = time.monotonic() + timeout
    host, _, port = workers[index].rpartition(":")
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", int(port)))
        except (OSError, ValueError) as error:
            raise TrainingError(f"worker {index} cannot listen on {host}:{port}: {error}") from error
        own.listen(len(workers))
        while missing:
            missing = [i for i in missing if not _answers(workers[i])]
            if missing and time.monotonic() > deadline:
                names = ", ".join(f"worker {i} at {workers[i]}" for i in missing)
                raise TrainingError(f"{names} did not appear within {timeout:g} seconds (distribution.worker_timeout)")
            time.sleep(0.2 if missing else 0)


@contextlib.contextmanager
def named_worker_errors(num_workers: int) -> Iterator[None]:
    """Take steps inside this: that another worker is gone is then a TrainingError that says what to do."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        if num_workers == 1:
            raise
        raise TrainingError(
            f"another worker has stopped ({error.message.splitlines()[0]}); start the job again on all workers: it "
            "goes on from the last checkpoint"
        ) from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2.0):
            return True
    except (OSError, ValueError):
        return False
