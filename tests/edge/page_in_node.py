"""The modules of the page under edge/web, run in Node."""

import json
import pathlib
import shutil
import subprocess

import pytest

TESTS = pathlib.Path(__file__).parents[1]
WEB = TESTS.parent / "edge" / "web"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def node(script, data):
    """What a module script, which finds `data` as an object and the page's folder as `web`, prints as JSON."""
    head = (
        f"const web = {json.dumps(WEB.as_uri() + '/')};\n"
        'import fs from "node:fs"; const data = JSON.parse(fs.readFileSync(0, "utf-8"));\n'
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", head + script],
        input=json.dumps(data).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
