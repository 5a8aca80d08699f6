"""The command keras-bert, as a user gives it."""

from __future__ import annotations

import subprocess
import sys


def keras_bert(*arguments: object) -> None:
    """Run one job of the command, its progress on this terminal."""
    command = [sys.executable, "-m", "keras_bert_tools", *map(str, arguments)]
    print("$ keras-bert", *command[3:], flush=True)
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"error: keras-bert {arguments[0]} failed")
