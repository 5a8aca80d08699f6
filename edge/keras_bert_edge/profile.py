"""Where the time of one answer goes, by operator.

LiteRT's Python interpreter has no profiler, so each different operator of the graph (kind, shapes, constants' types) is
put into a model of its own with the shapes that a text of the asked length gives it, and timed there, with the same
kernels and delegate; its time counts once for every such operator. The time of a model that does next to nothing is
taken off. What operators gain from standing together (fusion, warm caches) and lose between them shows as the
difference between their sum and the whole graph, which is reported and not shared out.
"""

import collections
import statistics
import time

from .errors import EdgeError
from .signature import INPUT_ROLES, smallest_that_fits

ROUNDS = 7
SECONDS_A_ROUND = 0.004


def profile(path, model_size, signatures, length, threads=1):
    """Seconds by operator for one text.

    Args:
      path: the exported file; model_size: bytes of its FlatBuffer.
      signatures: name -> length, None for a dynamic one; the smallest that fits is taken apart.
      length: tokens.
      threads: threads that a call may use.

    Returns:
      A dict: `tokens`, `whole` (seconds of the graph), `operators`: a list of dicts `name`, `count`, `seconds` (of all
      of them), the largest first.

    Raises:
      EdgeError: ai-edge-litert, whose schema is needed to take a model apart, is not installed.
    """
    try:
        import numpy as np
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise EdgeError(f"--profile needs ai-edge-litert, which can take a model apart: {error}") from error
    with open(path, "rb") as stream:
        content = stream.read(model_size)
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    key, fixed = smallest_that_fits(signatures, length)
    tokens = length if fixed is None else fixed
    content, roles = _graph_of(tree, key, content)
    # Without a delegate every tensor's shape is known after allocation.
    plain = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    _prepare(plain, roles, tokens, fixed is None, np)
    shapes = {details["index"]: details["shape"].tolist() for details in plain.get_tensor_details()}
    del plain

    whole = Interpreter(model_content=content, num_threads=threads)
    _prepare(whole, roles, tokens, fixed is None, np)
    parts = collections.defaultdict(list)
    for operator in tree.subgraphs[0].operators:
        parts[_kind(tree, operator, shapes)].append(operator)
    calls = [whole.invoke, _alone(tree, None, shapes, threads, schema, Interpreter, np).invoke]
    calls += [_alone(tree, same[0], shapes, threads, schema, Interpreter, np).invoke for same in parts.values()]
    whole_seconds, nothing, *alone = _time(calls)

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    totals: dict = collections.defaultdict(lambda: [0, 0.0])
    for same, seconds in zip(parts.values(), alone):
        entry = totals[names[tree.operatorCodes[same[0].opcodeIndex].builtinCode]]
        entry[0] += len(same)
        entry[1] += len(same) * max(seconds - nothing, 0.0)
    rows = [{"name": name, "count": count, "seconds": seconds} for name, (count, seconds) in totals.items()]
    return {
        "tokens": tokens,
        "whole": whole_seconds - nothing,
        "operators": sorted(rows, key=lambda row: -row["seconds"]),
    }


def table(result):
    """The profile as text."""
    total = sum(row["seconds"] for row in result["operators"])
    lines = [
        f"{result['tokens']} tokens: {1e3 * result['whole']:.3f} ms the graph, {1e3 * total:.3f} ms its operators, each"
        " timed alone",
        f"{'operator':<20} {'count':>6} {'ms':>9} {'share':>7}",
    ]
    for row in result["operators"]:
        share = row["seconds"] / total if total else 0.0
        lines.append(f"{row['name']:<20} {row['count']:>6} {1e3 * row['seconds']:>9.3f} {share:>7.1%}")
    return "\n".join(lines)


def _graph_of(tree, key, content):
    """A FlatBuffer whose first graph is that of the signature `key`, as is the tree's then, and the inputs' roles.

    Interpreters tell the tensors of the first graph alone.
    """
    signature = next(one for one in tree.signatureDefs if one.signatureKey.decode() == key)
    if signature.subgraphIndex:
        tree.subgraphs, tree.signatureDefs = [tree.subgraphs[signature.subgraphIndex]], None
        content = _packed(tree)
    return content, {int(one.tensorIndex): INPUT_ROLES[one.name.decode()] for one in signature.inputs}


def _packed(tree):
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _prepare(interpreter, roles, tokens, resize, np):
    """Sizes and fills the inputs: token ids that every vocabulary has, one segment, nothing masked."""
    details = interpreter.get_input_details()
    for one in details if resize else ():
        interpreter.resize_tensor_input(one["index"], (1, tokens))
    interpreter.allocate_tensors()
    for one in details:
        interpreter.set_tensor(one["index"], np.full((1, tokens), roles[one["index"]] != "segment_ids", np.int32))


def _kind(tree, operator, shapes):
    """What makes two operators cost the same: kind, options, and types and shapes of what they read."""
    tensors = tree.subgraphs[0].tensors
    read = tuple((tensors[i].type, tuple(shapes[i])) if i >= 0 else None for i in operator.inputs)
    options = tuple(sorted((k, str(v)) for k, v in vars(operator.builtinOptions or object).items() if k[0] != "_"))
    return operator.opcodeIndex, options if operator.builtinOptions else (), read


def _alone(tree, operator, shapes, threads, schema, interpreter_class, np):
    """An interpreter for a model of this one operator, its inputs filled; of a lone RESHAPE where it is None."""
    source, model, graph = tree.subgraphs[0], schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    graph.tensors, graph.inputs, graph.outputs = [], [], []
    place = {}

    def add(index):
        if index < 0:
            return index
        if index not in place:
            old, tensor = source.tensors[index], schema.TensorT()
            tensor.type, tensor.shape, tensor.quantization = old.type, shapes[index], old.quantization
            tensor.name, tensor.hasRank = f"t{index}", True
            data = tree.buffers[old.buffer].data
            if data is not None and len(data):
                tensor.buffer = len(model.buffers)
                model.buffers.append(tree.buffers[old.buffer])
            place[index] = len(graph.tensors)
            graph.tensors.append(tensor)
            if not tensor.buffer and index in operator.inputs:
                graph.inputs.append(place[index])
        return place[index]

    if operator is None:
        operator = next(
            one
            for one in source.operators
            if tree.operatorCodes[one.opcodeIndex].builtinCode == schema.BuiltinOperator.RESHAPE
        )
    alone = schema.OperatorT()
    alone.inputs, alone.outputs = [add(i) for i in operator.inputs], [add(i) for i in operator.outputs]
    alone.builtinOptions, alone.builtinOptionsType = operator.builtinOptions, operator.builtinOptionsType
    graph.outputs, graph.operators = list(alone.outputs), [alone]
    model.operatorCodes = [tree.operatorCodes[operator.opcodeIndex]]
    interpreter = interpreter_class(model_content=_packed(model), num_threads=threads)
    interpreter.allocate_tensors()
    draw = np.random.RandomState(0)
    for one in interpreter.get_input_details():
        shape, dtype = one["shape"], one["dtype"]
        value = draw.normal(0, 1, shape) if np.issubdtype(dtype, np.floating) else np.ones(shape)
        interpreter.set_tensor(one["index"], np.abs(value).astype(dtype))
    return interpreter


def _time(calls):
    """Median seconds of each call; the calls take turns, each as often in a turn as fits a few milliseconds."""
    repeats = []
    for call in calls:
        call()
        began = time.perf_counter()
        call()
        repeats.append(max(1, min(500, int(SECONDS_A_ROUND / max(time.perf_counter() - began, 1e-6)))))
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times, mine in zip(calls, repeats, seconds):
            call()
            began = time.perf_counter()
            for _ in range(times):
                call()
            mine.append((time.perf_counter() - began) / times)
    return [statistics.median(mine) for mine in seconds]
