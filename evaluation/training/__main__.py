"""`python -m evaluation.training` is `facetron-eval train`."""

from evaluation.commands.train import train
from manifests.console import run

if __name__ == "__main__":
    run(train, "python -m evaluation.training")
