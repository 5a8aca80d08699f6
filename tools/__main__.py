"""`python -m keras_bert_tools JOB ...`, the same as `keras-bert JOB ...`."""

import sys

from .cli import main

sys.exit(main())
