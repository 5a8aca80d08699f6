"""Tables."""

import subprocess
import sys


def test_a_table_in_a_pipe_is_not_folded():
    name, cells = "vocabulary+layers3+structure, dynamic_int8", [f"{10**15 + i:,}" for i in range(8)]
    code = f"from keras_bert_tools.report import print_table; print_table('', [''] * 9, [[{name!r}, *{cells}]])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    (line,) = (line for line in done.stdout.splitlines() if "vocabulary" in line)
    assert len(line) > 160
    assert line.split() == [*name.split(), *cells]
