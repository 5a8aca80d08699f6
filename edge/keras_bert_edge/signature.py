"""What a file says of a signature: the names, shapes and types of its inputs and outputs."""

from typing import NamedTuple

import numpy as np

from .errors import EdgeError

# What the exporter's two profiles call their inputs -> what they hold.
INPUT_ROLES = {
    "token_ids": "token_ids",
    "ids": "token_ids",
    "segment_ids": "segment_ids",
    "padding_mask": "padding_mask",
    "mask": "padding_mask",
}


class Signature(NamedTuple):
    """What the file says of one signature: tensor indices, shapes and the size of each output's last axis by name."""

    inputs: dict[str, int]
    input_shapes: dict[str, list[int]]
    outputs: dict[str, int]
    output_widths: dict[str, int]


def smallest_that_fits(signatures, length):
    """(name, its length) of the signature that runs a text of `length` tokens; None is the length of one for any.

    Args:
      signatures: name -> length or None, as in config.json; one of them fits.
    """
    fitting = (item for item in signatures.items() if item[1] is None or length <= item[1])
    return min(fitting, key=lambda item: item[1] or 0)


def read_signature(interpreter, key, path):
    """The Signature called `key`, as plain data: a runner that stays alive forbids resizing the inputs."""
    present = interpreter.get_signature_list()
    if key not in present:
        raise EdgeError(f"{path} lacks the signature {key!r}; it has {', '.join(map(repr, sorted(present)))}")
    runner = interpreter.get_signature_runner(key)
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    for name, details in inputs.items():
        if name not in INPUT_ROLES or details["dtype"] != np.int32:
            raise EdgeError(f"{path} has an input {name} of {details['dtype'].__name__}, which is not known")
    for name, details in outputs.items():
        if details["dtype"] != np.float32:
            raise EdgeError(f"{path} has an output {name} of {details['dtype'].__name__}, and float32 was expected")
    by_role = {INPUT_ROLES[name]: details for name, details in inputs.items()}
    if "token_ids" not in by_role or len(by_role) != len(inputs):
        raise EdgeError(f"{path} has the inputs {', '.join(sorted(inputs))}: one of them must be for token ids")
    return Signature(
        {role: details["index"] for role, details in by_role.items()},
        {INPUT_ROLES[name]: details["shape"].tolist() for name, details in inputs.items()},
        {name: details["index"] for name, details in outputs.items()},
        {name: int(details["shape"][-1]) if len(details["shape"]) else 0 for name, details in outputs.items()},
    )
