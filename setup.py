"""The root distribution: `keras_bert` as it is, `tools` under the name `keras_bert_tools`."""

import pathlib
import re

from setuptools import setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "keras_bert" / "__init__.py").read_text(encoding="utf-8"))[1]


def packages(folder: str, name: str) -> dict[str, str]:
    """Package name -> folder, for `folder` and its packages below, imported as `name`."""
    found = {}
    for init in sorted((HERE / folder).rglob("__init__.py")):
        parts = init.parent.relative_to(HERE / folder).parts
        found[".".join((name, *parts))] = str(init.parent.relative_to(HERE))
    return found


PACKAGES = {**packages("keras_bert", "keras_bert"), **packages("tools", "keras_bert_tools")}
# The configurations of pretraining runs are read in a clone as they lie there, and installed beside the commands.
PACKAGES["keras_bert_tools.configs"] = "configs"

setup(
    name="keras-bert-toolkit",
    version=VERSION,
    description="BERT, DistilBERT, RoBERTa and ALBERT for Keras 3, from checkpoint to phone",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={"keras_bert_tools": ["demo_data/*"], "keras_bert_tools.configs": ["*.toml"]},
    install_requires=[
        "tensorflow>=2.18",
        "keras>=3.8",
        # `tf.summary` needs it, and TensorFlow 2.21 no longer brings it.
        "tensorboard>=2.18",
        "tokenizers>=0.20",
        "safetensors>=0.4",
        # Checksums of TFRecords without importing TensorFlow, whose 700 MB every worker process would pay.
        "google-crc32c>=1.5",
        "numpy>=1.26",
        "rich>=13",
        "tomli>=2; python_version < '3.11'",
    ],
    extras_require={
        # Conversion is checked in the runtime that devices use; the metadata is a FlatBuffer.
        "export": ["ai-edge-litert>=2.0", "flatbuffers>=24.3.25"],
        "edge": ["keras-bert-edge"],
        # Its versions are TensorFlow's: pip picks the one that fits.
        "text": ["tensorflow-text>=2.18"],
        # Schedules and masks; it imports the old Keras.
        "prune": ["tensorflow-model-optimization>=0.8", "tf-keras>=2.18"],
        # `prepare-data --runner beam`: corpora beyond one machine.
        "beam": ["apache-beam>=2.60"],
        # Pictures: confusion matrices, what each step of `compress` cost.
        "plots": ["matplotlib>=3.7"],
        "keras-hub": ["keras-hub>=0.20"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6",
            "scikit-learn>=1.3",
            "seqeval>=1.2.2",
            "sentencepiece>=0.2",
        ],
    },
    entry_points={"console_scripts": ["keras-bert = keras_bert_tools.cli:main"]},
)
