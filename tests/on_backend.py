"""`python tests/on_backend.py BACKEND ...` runs pytest with Keras on that backend; works alike on every system."""

import os
import sys

import pytest

os.environ["KERAS_BACKEND"] = sys.argv[1]
sys.exit(pytest.main(sys.argv[2:]))
