"""Log of a training: metrics per epoch as CSV and, where TensorBoard is installed, as its scalars with
mels, sounds and transcripts of a few clips."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facetron.train import pictures
from facetron.train.pictures import Exhibit
from manifests.tables import write_csv


class EpochLog:
    """Writes the log of a run.

    Args:
        out: folder of the run; gets `log.csv` and `tensorboard/`.
        tensorboard: whether to write for TensorBoard, if it is installed.
    """

    def __init__(self, out: Path, tensorboard: bool) -> None:
        self.out = out
        self._writer: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(out / "tensorboard"))  # type: ignore[no-untyped-call]

    @property
    def shows(self) -> bool:
        """Whether `show` writes anything (TensorBoard is installed)."""
        return self._writer is not None

    def write(self, history: list[dict[str, Any]]) -> None:
        """Writes the whole history as CSV (so that a killed run's last lines are never doubled), and its
        last epoch to TensorBoard."""
        columns = list(dict.fromkeys(name for line in history for name in line))
        rows = [["" if line.get(c) is None else line[c] for c in columns] for line in history]
        write_csv(self.out / "log.csv", columns, rows)
        if self._writer is not None:
            for name, value in history[-1].items():
                if name not in ("epoch", "step") and isinstance(value, int | float):
                    self._writer.add_scalar(name, value, history[-1]["epoch"])
            self._writer.flush()

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        """Writes pictures, sounds and transcripts to TensorBoard.

        Args:
            rate_hz: sample rate of the sounds.
        """
        if self._writer is not None:
            pictures.write(self._writer, exhibits, epoch, rate_hz)
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
