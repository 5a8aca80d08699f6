"""What a process of its own does in the tests: it takes runs one after the other.

The job: `strategies` to make in this process (several share its devices), `cpu_devices`, `ended` (SIGTERM must end the
process as soon as they are made), and `runs`, each with
`config`, `work_dir`, `strategy`, perhaps `kill_at` (the process kills itself before that step), `kill_in_save` (and in
the middle of its first checkpoint), `stop_at` (it gets SIGTERM before that step), `stopped` (KeyboardInterrupt must end
it) and `log` (a file that gets one line of example ids a step).
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys

import pytest
import tensorflow as tf

from keras_bert.training import state
from keras_bert.training.loop import train
from keras_bert.training.monitor import Monitor
from keras_bert.training.run import prepare
from keras_bert.training.run_config import RunConfig
from keras_bert.training.strategies import make_distribution


class Log(Monitor):
    def __init__(self, file, signals):
        self.file, self.signals = file, signals

    def batch(self, step, example_ids):
        if step in self.signals:
            os.kill(os.getpid(), self.signals[step])
        if self.file:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps([step, example_ids.tolist()]) + "\n")


def kill_instead(*arguments):
    """Stands for the writing of the optimizer, which comes between weights and state."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(job, output, environment):
    """Take the runs of `job`; what is printed goes to the file `output`."""
    with open(output, "w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    # Where it stands, in the output, should it hang.
    faulthandler.dump_traceback_later(240, repeat=True)
    os.environ.update(environment)
    # As in conftest.py: what optimizing the graph of a tiny model takes, 20 steps never earn back.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if job.get("cpu_devices"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * job["cpu_devices"]
        )
    distributions = {name: make_distribution(name, worker_timeout=60) for name in job["strategies"]}
    if job.get("ended"):
        os.kill(os.getpid(), signal.SIGTERM)
    for run in job["runs"]:
        if run.get("kill_in_save"):
            state.write_tensors = kill_instead
        prepared = prepare(RunConfig.from_dict(run["config"]), run["work_dir"], distributions[run["strategy"]])
        signals = {run.get("kill_at"): signal.SIGKILL, run.get("stop_at"): signal.SIGTERM}
        expected = pytest.raises(KeyboardInterrupt) if run.get("stopped") else contextlib.nullcontext()
        with expected:
            train(prepared, listener=Log(run.get("log"), signals))
