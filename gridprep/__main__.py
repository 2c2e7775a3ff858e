"""Entry point of the program `gridprep`; `python -m gridprep` is the same."""

from __future__ import annotations

from manifests.interrupts import quiet


def main() -> None:
    """Runs `gridprep` with the arguments of the command line."""
    with quiet("gridprep"):
        from gridprep.cli import main as program

        program()


if __name__ == "__main__":
    main()
