"""The contract between the programs: records, specs, errors, files and splits. It imports no other
package of the toolkit."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from manifests.errors import BadInput, ManifestError, SpecMismatch, ToolkitError
    from manifests.manifest import FeatureRow, Manifest, Run, SpeechClip
    from manifests.mel import mel_spectrogram
    from manifests.specs import AudioSpec, CropSpec, LandmarkSpec, MelSpec
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "AudioSpec": "manifests.specs:AudioSpec",
            "BadInput": "manifests.errors:BadInput",
            "CropSpec": "manifests.specs:CropSpec",
            "FeatureRow": "manifests.manifest:FeatureRow",
            "LandmarkSpec": "manifests.specs:LandmarkSpec",
            "Manifest": "manifests.manifest:Manifest",
            "ManifestError": "manifests.errors:ManifestError",
            "MelSpec": "manifests.specs:MelSpec",
            "Run": "manifests.manifest:Run",
            "SpecMismatch": "manifests.errors:SpecMismatch",
            "SpeechClip": "manifests.manifest:SpeechClip",
            "ToolkitError": "manifests.errors:ToolkitError",
            "mel_spectrogram": "manifests.mel:mel_spectrogram",
        },
    )

__all__ = [
    "AudioSpec",
    "BadInput",
    "CropSpec",
    "FeatureRow",
    "LandmarkSpec",
    "Manifest",
    "ManifestError",
    "MelSpec",
    "Run",
    "SpecMismatch",
    "SpeechClip",
    "ToolkitError",
    "mel_spectrogram",
]
