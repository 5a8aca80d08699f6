"""A start without TensorFlow's own talk."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write to descriptor 2 while they load (their build, CUDA's absence); if
    loading fails it is shown after all."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                # Looks for CUDA, and says so, the first time only.
                sys.modules["tensorflow"].config.list_physical_devices("GPU")
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
