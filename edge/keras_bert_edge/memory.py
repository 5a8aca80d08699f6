"""Whether a model can fit before anything of it is allocated, as far as the system tells (Linux; elsewhere unknown)."""

from typing import NamedTuple

from .errors import EdgeError

# Beside the weights that it packs, the runtime needs its libraries, activations and the tokenizer.
RUNTIME_BYTES = 16 << 20
# What tokenizing may take for each character of a long text (184 to 272 measured, the more the shorter its words), and
# texts too short to ask the system for.
TEXT_BYTES = 400
SHORT_TEXT = 1 << 18

# Where the kernel shows control groups, and which of them this process is in.
CGROUP = "/sys/fs/cgroup"
MEMBERSHIP = "/proc/self/cgroup"


class GroupFiles(NamedTuple):
    """The files of a control group: its limit, what it uses, and the line of memory.stat for the cache that it may give
    up (https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/memory.html)."""

    limit: str
    used: str
    cache: str


VERSION_2 = GroupFiles("memory.max", "memory.current", "inactive_file")
VERSION_1 = GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def require_memory(path, model_size, workers):
    """EdgeError if the machine, the process's limit or its control group has clearly too little memory for the model.

    A runtime may pack a copy of all weights, so that each worker is counted with the size of the model.
    """
    _require(workers * model_size + RUNTIME_BYTES, str(path))


def require_memory_for_text(characters):
    """EdgeError if there is clearly too little memory to tokenize a text of so many characters, of which a model reads
    no more than its first few hundred tokens. The `tokenizers` package ends the process where memory runs out.
    """
    if characters > SHORT_TEXT:
        _require(TEXT_BYTES * characters, f"a text of {characters:,} characters")


def _require(needed, name):
    for what, available in (
        ("this machine has", _available_in_machine()),
        ("this process's limit leaves", _available_in_process()),
        ("this control group leaves", _available_in_group()),
    ):
        if available is not None and available < needed:
            raise EdgeError(
                f"{name} needs about {needed / 1e6:,.0f} MB of memory, and {what} {max(available, 0) / 1e6:,.0f} MB"
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
    """The least that any of the process's control groups, or of those that they are in, leaves."""
    left = [_left_in_group(folder, files) for folder, files in _groups()]
    return min((size for size in left if size is not None), default=None)


def _groups():
    """(folder, its files) of the process's groups and of all above, up to the root of what is mounted here.

    In a container the path may be the host's and lead nowhere; the root is then the container's own group.
    """
    for line in _lines(MEMBERSHIP) or ["0::/"]:
        number, controllers, path = [*line.rstrip("\n").split(":", 2), "", ""][:3]
        if number == "0":
            root, files = CGROUP, VERSION_2
        elif "memory" in controllers.split(","):
            root, files = f"{CGROUP}/memory", VERSION_1
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts), -1, -1):
            yield "/".join([root, *parts[:depth]]), files


def _left_in_group(folder, files):
    limit, used = _number(f"{folder}/{files.limit}"), _number(f"{folder}/{files.used}")
    if limit is None or used is None:
        return None
    # The group's file cache counts as used and is given up where memory is short.
    return limit - used + (_field(f"{folder}/memory.stat", files.cache, 1) or 0)


def _number(path):
    try:
        with open(path) as stream:
            return int(stream.read())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _field(path, name, unit):
    try:
        return next((unit * int(line.split()[1]) for line in _lines(path) if line.startswith(name)), None)
    except (ValueError, IndexError):
        return None


def _lines(path):
    try:
        with open(path) as stream:
            return stream.readlines()
    except (OSError, ValueError):
        return []
