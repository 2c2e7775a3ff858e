"""Entry point of the program `facetron`; `python -m facetron` is the same."""

from __future__ import annotations

from manifests.interrupts import quiet


def main() -> None:
    """Runs `facetron` with the arguments of the command line."""
    with quiet("facetron"):
        from facetron.cli import main as program

        program()


if __name__ == "__main__":
    main()
