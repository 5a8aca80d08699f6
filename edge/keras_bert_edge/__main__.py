"""`python -m keras_bert_edge` is the command `keras-bert-edge`."""

import sys

from .cli import main

sys.exit(main())
