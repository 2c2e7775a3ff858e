"""Entry point of the program `facetron-eval`; `python -m evaluation` is the same."""

from __future__ import annotations

from manifests.interrupts import quiet


def main() -> None:
    """Runs `facetron-eval` with the arguments of the command line."""
    with quiet("facetron-eval"):
        from evaluation.cli import main as program

        program()


if __name__ == "__main__":
    main()
