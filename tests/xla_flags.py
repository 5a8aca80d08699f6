"""The flags under which XLA compiles the tests: it spends most of its time on making fast code, which tiny models have
no use for."""

import contextlib
import importlib.metadata

# Releases of whoever brings an XLA that still have its older way of making code, which takes a third of the time.
OLDER_EMITTERS = {"tensorflow": "2.21.", "jaxlib": "0.10."}


def xla_flags() -> str:
    flags = "--xla_backend_optimization_level=0"
    for name, known in OLDER_EMITTERS.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if not importlib.metadata.version(name).startswith(known):
                return flags  # one that it does not know ends the process
    return f"{flags} --xla_cpu_use_fusion_emitters=false"
