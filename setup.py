"""Packaging. Packages are listed by name: `find_packages()` would ship `tests` and `benchmarks`."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

setup(
    name="facetron-toolkit",
    version="0.1.0",
    description="GRID preprocessing, the Facetron face-to-speech model, and evaluation in the form of papers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[
        "manifests",
        "manifests.splits",
        "gridprep",
        "gridprep.commands",
        "gridprep.corpora",
        "gridprep.download",
        "gridprep.features",
        "gridprep.inspection",
        "gridprep.landmarks",
        "gridprep.media",
        "gridprep.pipeline",
        "gridprep.synth",
        "gridprep.verification",
        "facetron",
        "facetron.baselines",
        "facetron.checkpoints",
        "facetron.commands",
        "facetron.demo",
        "facetron.model",
        "facetron.published",
        "facetron.synthesis",
        "facetron.train",
        "facetron.video",
        "facetron.vocoders",
        "evaluation",
        "evaluation.commands",
        "evaluation.comparison",
        "evaluation.embeddings",
        "evaluation.importing",
        "evaluation.inputs",
        "evaluation.metrics",
        "evaluation.models",
        "evaluation.mos",
        "evaluation.reporting",
        "evaluation.scoring",
        "evaluation.stats",
        "evaluation.training",
    ],
    package_data={
        "manifests": ["*.csv", "*.csv.gz", "py.typed", "templates/*"],
        "manifests.splits": ["*.csv", "*.csv.gz", "*.json"],
        "facetron.demo": ["*.html"],
        "gridprep.features": ["*.json"],
        "gridprep": ["py.typed"],
        "gridprep.inspection": ["*.html"],
        "gridprep.synth": ["*.json", "*.npz", "*.png"],
        "facetron": ["py.typed", "weights/*/*"],
        "evaluation": ["weights/*", "py.typed"],
        "evaluation.reporting": ["*.json", "*.html"],
        "evaluation.mos": ["*.html", "*.css", "*.js", "*.ogg"],
    },
    entry_points={
        "console_scripts": [
            "gridprep = gridprep.__main__:main",
            "facetron = facetron.__main__:main",
            "facetron-eval = evaluation.__main__:main",
        ]
    },
    install_requires=[
        "numpy>=1.26",
        "scipy>=1.11",
        "pandas>=2.1",
        "click>=8.1",
        "tqdm>=4.66",
        "pyyaml>=6.0",
        "jinja2>=3.1",
        "joblib>=1.3",
        "threadpoolctl>=3.1",
        "av>=13,<20",  # bundles FFmpeg: no system FFmpeg is needed
        "opencv-python-headless>=4.10",  # without windows, so without libGL
        # Landmarks in half the time; there is no wheel for Intel Macs, where OpenCV runs the networks.
        "ai-edge-litert>=2.1; sys_platform!='darwin' or platform_machine=='arm64'",
        "librosa>=0.10.2",
        "pillow>=10",  # pictures that OpenCV does not read
        "soundfile>=0.12",
        "soxr>=0.3.7",
        "scikit-image>=0.22",  # the public-domain photograph that SynthGRID's speakers start from
        "espeakng-loader>=0.2.4",  # espeak-ng with its voices in a wheel
        "pystoi>=0.4.1",
        "jiwer>=4,<5",
        "rapidfuzz>=3",  # edit distances
        "scikit-learn>=1.3",
        "matplotlib>=3.8",
        "torch>=2.8,<2.14",
        "safetensors>=0.4.5",
        # The recognizer and the speaker network are made of its parts; it needs HyperPyYAML, which
        # does not load with ruamel.yaml 0.19.
        "speechbrain>=1.1,<1.2",
        "ruamel.yaml<0.19",
        "lightning-fabric>=2.4",  # the training loop on CPU, one GPU or many
    ],
    extras_require={
        "face-alignment": ["face-alignment>=1.5,<2"],
        "dask": ["dask[distributed]>=2024.1"],
        "heic": ["pillow-heif>=0.16"],  # pictures of telephones as --face
        "pesq": ["pesq>=0.0.4"],  # source only: needs a C compiler
        "tensorboard": ["tensorboard>=2.12"],  # trainings to watch; without it there is the CSV
        "dev": [
            "confidence-intervals>=0.0.3",  # another bootstrap, to check ours against
            "dask[distributed]>=2024.1",
            "face-alignment>=1.5,<2",
            "mypy>=1.11",
            "pandas-stubs",
            "psutil",
            "pytest>=8",
            "pytest-timeout",
            "pytest-xdist",
            "ruff>=0.6",
            "tensorboard>=2.12",
            "types-PyYAML",
            "types-psutil",
            "types-tqdm",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
    ],
)
