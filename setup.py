"""Packaging: two packages; the gin files and the model as data of the first one."""

import pathlib
import runpy
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).parent

BASE = [
    "numpy>=2.0",
    "scipy>=1.13",  # CEAF's assignment problem
    "jax>=0.10",
    "flax>=0.12.8",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12",
    "tensorstore>=0.1.80",  # T5X's arrays, one at a time; orbax brings it too
    "grain>=0.2.18",  # deterministic, resumable input without TensorFlow
    "sentencepiece>=0.2.1",
    "safetensors>=0.6",
    "gin-config>=0.5",
    "spacy>=3.8",  # words and sentences of raw text: blank pipelines only
    "rich>=14",  # progress bars and coloured output
    "fsspec>=2025.1",  # inputs and outputs in object stores
    "tensorboardX>=2.6.4",  # event files without TensorFlow
]
HF = ["transformers>=5", "huggingface-hub>=1"]
SEQIO = ["seqio>=0.0.20"]
TPU = ["jax[tpu]>=0.10"]
GCS = ["gcsfs>=2025.1"]
SERVE = [
    "starlette>=1.10",  # routes and statuses
    "uvicorn>=0.54",  # HTTP and signals
    "prometheus-client>=0.26",  # the text format of metrics
]
TABLE = ["pyarrow>=20", "pandas>=2.2"]  # tables of mentions
DOCS = ["mkdocs>=1.6", "mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"]
DEV = [
    *HF,
    *DOCS,
    *SERVE,
    *TABLE,
    "httpx2>=2.16",  # Starlette's test client
    "torch>=2.9",  # the independent reference for the network
    "hypothesis>=6.150",
    "pytest>=9",
    "pytest-xdist>=3.8",
    "ruff>=0.17",
    "setuptools>=77",  # builds the wheel that the tests look into
    "pyright>=1.1.400",
    "pre-commit>=4",
    "tensorboard>=2.20",  # reads what we write, in tests
]


class BuildWithData(build_py):
    """Puts `gin/` and `models/` into the wheel as `t5coref/gin/` and `t5coref/models/`."""

    def run(self) -> None:
        """Builds the packages, then copies what lies beside them."""
        super().run()
        if not self.editable_mode:
            for name in ("gin", "models"):
                target = pathlib.Path(self.build_lib, "t5coref", name)
                shutil.copytree(ROOT / name, target, dirs_exist_ok=True)


setup(
    name="t5coref",
    version=runpy.run_path(str(ROOT / "t5coref" / "_version.py"))["__version__"],
    description="Coreference and entity-centric relation extraction with T5, in JAX",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["t5coref*", "tasks*"]),
    package_data={
        "t5coref": ["demo/*.jsonl", "demo/*.txt", "demo/LICENSE*", "view/page.*", "report/report.*"]
    },
    cmdclass={"build_py": BuildWithData},
    install_requires=BASE,
    extras_require={
        "hf": HF,
        "seqio": SEQIO,
        "tpu": TPU,
        "gcs": GCS,
        "serve": SERVE,
        "table": TABLE,
        "docs": DOCS,
        "dev": DEV,
    },
    entry_points={
        "console_scripts": ["t5coref = t5coref.cli:main"],
        "spacy_factories": ["t5coref = t5coref.api.spacy_component:make_component"],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
)
