"""A process of its own that takes runs one after the other: `python child.py JOB.json`.

The job: `strategies` to make in this process (several share its devices), `cpu_devices`, and `runs`, each with
`config`, `work_dir`, `strategy`, perhaps `kill_at` (the process kills itself before that step) and `log` (a file that
gets one line of example ids a step).
"""

import faulthandler
import json
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import tensorflow as tf

from keras_bert.training.loop import prepare, train
from keras_bert.training.monitor import Monitor
from keras_bert.training.run_config import RunConfig
from keras_bert.training.strategies import make_distribution


class Log(Monitor):
    def __init__(self, file, kill_at):
        self.file, self.kill_at = file, kill_at

    def batch(self, step, example_ids):
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.file:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps([step, example_ids.tolist()]) + "\n")


def main(job):
    if job.get("cpu_devices"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * job["cpu_devices"]
        )
    distributions = {name: make_distribution(name, worker_timeout=60) for name in job["strategies"]}
    for run in job["runs"]:
        prepared = prepare(RunConfig.from_dict(run["config"]), run["work_dir"], distributions[run["strategy"]])
        train(prepared, listener=Log(run.get("log"), run.get("kill_at")))


if __name__ == "__main__":
    # Where it stands, in the log, should it hang.
    faulthandler.dump_traceback_later(240, repeat=True)
    main(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
