"""The TFLite interpreter of whichever runtime is installed: ai-edge-litert, else tflite-runtime."""

import os

from .errors import EdgeError

RUNTIMES = (("ai-edge-litert", "ai_edge_litert.interpreter"), ("tflite-runtime", "tflite_runtime.interpreter"))

# A runtime's own message can go on for a screen.
LONGEST_MESSAGE = 200


def find_runtime():
    """(distribution name, its Interpreter class) of the first runtime that can be imported.

    Raises:
      EdgeError: none is installed, or the one installed does not work with this numpy.
    """
    import importlib

    reasons = []
    for distribution, module in RUNTIMES:
        try:
            return distribution, importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            reasons.append(f"{distribution}: {error}")
        except (ImportError, AttributeError) as error:
            # tflite-runtime 2.14 was built for numpy 1 and fails so under numpy 2.
            reasons.append(f"{distribution} does not work with what is installed beside it ({error})")
    raise EdgeError(
        "no TFLite runtime: `pip install ai-edge-litert`, or on older boards `pip install tflite-runtime 'numpy<2'`; "
        + "; ".join(reasons)
    )


def open_interpreter(path, threads, content=None):
    """(distribution name, interpreter) for the model at `path`, its weights mapped from the file, not copied.

    With `content`, a FlatBuffer's bytes, for that model, which is said to come from `path`.

    Raises:
      EdgeError: no runtime, or the runtime cannot open the model.
    """
    distribution, interpreter_class = find_runtime()
    try:
        # model_path, where it can be: the runtime maps the file, so that processes share its pages.
        # As bytes: a name that is no UTF-8 is a name, too.
        source = {"model_path": os.fsencode(path)} if content is None else {"model_content": content}
        return distribution, interpreter_class(**source, num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise unusable(path, distribution, error) from error


def unusable(path, distribution, error):
    """The EdgeError for a model that `distribution` refused with `error`."""
    message = " ".join(str(error).split())
    message = message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 3] + "..."
    if "Flex" in message or "custom op" in message:
        cause = "it needs operations that are not TFLite's own"
    elif "Didn't find op" in message or "unresolved" in message or "version" in message:
        cause = "it needs newer operations; upgrade the runtime, or export the model with --profile compatible"
    else:
        cause = "the model does not fit the runtime"
    return EdgeError(f"{distribution} cannot run {path}: {cause} ({message})")
