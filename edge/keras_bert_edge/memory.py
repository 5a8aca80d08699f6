"""Whether a model can fit before anything of it is allocated, as far as the system tells (Linux; elsewhere unknown)."""

from .errors import EdgeError

# Beside the weights that it packs, the runtime needs its libraries, activations and the tokenizer.
RUNTIME_BYTES = 16 << 20

CGROUP = "/sys/fs/cgroup"


def require_memory(path, model_size, workers):
    """EdgeError if the machine, the process's limit or its control group has clearly too little memory for the model.

    A runtime may pack a copy of all weights, so that each worker is counted with the size of the model.
    """
    needed = workers * model_size + RUNTIME_BYTES
    for what, available in (
        ("this machine has", _available_in_machine()),
        ("this process's limit leaves", _available_in_process()),
        ("this control group leaves", _available_in_group()),
    ):
        if available is not None and available < needed:
            raise EdgeError(
                f"{path} needs about {needed / 1e6:,.0f} MB of memory, and {what} {max(available, 0) / 1e6:,.0f} MB"
            )


def _available_in_machine():
    return _field("/proc/meminfo", "MemAvailable:", 1024)


def _available_in_process():
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _field("/proc/self/status", "VmSize:", 1024)
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _available_in_group():
    limit, used = _number(f"{CGROUP}/memory.max"), _number(f"{CGROUP}/memory.current")
    if limit is None or used is None:
        return None
    # The group's file cache counts as used and is given up where memory is short.
    return limit - used + (_field(f"{CGROUP}/memory.stat", "inactive_file", 1) or 0)


def _number(path):
    try:
        with open(path) as stream:
            return int(stream.read())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _field(path, name, unit):
    try:
        with open(path) as stream:
            return next((unit * int(line.split()[1]) for line in stream if line.startswith(name)), None)
    except (OSError, ValueError, IndexError):
        return None
