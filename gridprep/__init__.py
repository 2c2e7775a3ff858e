"""Preprocessing of GRID: from a folder of clips to checked features with a manifest."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from gridprep.api import VideoCrops, build, crop, verify
    from gridprep.pipeline.run import BuildReport
    from gridprep.verification.report import Verification
    from manifests.mel import mel_spectrogram
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "BuildReport": "gridprep.pipeline.run:BuildReport",
            "Verification": "gridprep.verification.report:Verification",
            "VideoCrops": "gridprep.api:VideoCrops",
            "build": "gridprep.api:build",
            "crop": "gridprep.api:crop",
            "mel_spectrogram": "manifests.mel:mel_spectrogram",
            "verify": "gridprep.api:verify",
        },
    )

__all__ = [
    "BuildReport",
    "Verification",
    "VideoCrops",
    "build",
    "crop",
    "mel_spectrogram",
    "verify",
]
