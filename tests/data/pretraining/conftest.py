from __future__ import annotations

import pytest
from corpora import Corpus, unique_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return unique_corpus(tmp_path_factory.mktemp("corpus"))
