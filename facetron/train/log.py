"""Log of a training: metrics per epoch as CSV, and in the programs that people watch it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facetron.train.loggers import LOGGERS, TrainingLogger, wanted_loggers
from facetron.train.pictures import Exhibit
from manifests.tables import write_csv


class EpochLog:
    """Writes the log of a run.

    Args:
        out: folder of the run; gets `log.csv` and what the loggers write.
        names: `train.loggers`.
        name: name of the run for people.
        config: options of the training, which some loggers show.
        writes: whether this process writes; of several that train together one does.

    Attributes:
        shows: whether anything is shown beside the CSV, in this process or the one that writes.

    Raises:
        MissingDependency: a logger is not installed.
    """

    def __init__(
        self,
        out: Path,
        names: Sequence[str],
        name: str = "",
        config: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        wanted = wanted_loggers(names)
        self.out, self.shows = out, bool(wanted)
        self._loggers: list[TrainingLogger] = [
            LOGGERS[logger](out, name, config or {}) for logger in wanted if writes
        ]

    def write(self, history: list[dict[str, Any]]) -> None:
        """Writes the whole history as CSV (so that a killed run's last lines are never doubled), and its
        last epoch to the loggers."""
        columns = list(dict.fromkeys(name for line in history for name in line))
        rows = [["" if line.get(c) is None else line[c] for c in columns] for line in history]
        write_csv(self.out / "log.csv", columns, rows)
        last = history[-1]
        numbers = {n: v for n, v in last.items() if isinstance(v, int | float)}
        values = {n: v for n, v in numbers.items() if n not in ("epoch", "step")}
        for logger in self._loggers:
            logger.scalars(values, last["epoch"])

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        """Shows mels, sounds and transcripts of a few clips.

        Args:
            rate_hz: sample rate of the sounds.
        """
        for logger in self._loggers:
            logger.show(exhibits, epoch, rate_hz)

    def close(self) -> None:
        """Closes the loggers."""
        for logger in self._loggers:
            logger.close()
