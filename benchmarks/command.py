"""The command keras-bert, as a user gives it."""

from __future__ import annotations

import subprocess
import sys


def keras_bert(*arguments: object, may_end: int = 0) -> None:
    """Run one job of the command, its progress on this terminal; a status beside 0 and `may_end` ends the script."""
    command = [sys.executable, "-m", "keras_bert_tools", *map(str, arguments)]
    print("$ keras-bert", *command[3:], flush=True)
    if subprocess.run(command, check=False).returncode not in (0, may_end):
        raise SystemExit(f"error: keras-bert {arguments[0]} failed")
