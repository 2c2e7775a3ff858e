"""The metrics: pure functions of arrays and rates for use from Python, and beside each a `Metric`,
one file per family, which describes it for tables (`base.REGISTRY` names them all)."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from evaluation.metrics.cepstrum import mcd, mel_l1
    from evaluation.metrics.gender import female_probability, gender_agreement
    from evaluation.metrics.input_checks import level_dbfs
    from evaluation.metrics.intelligibility import estoi, stoi
    from evaluation.metrics.lipsync import lip_sync
    from evaluation.metrics.naturalness import nisqa_tts, utmos
    from evaluation.metrics.offset import offset_ms
    from evaluation.metrics.opinion import distillmos, dnsmos
    from evaluation.metrics.perceptual import pesq
    from evaluation.metrics.pitch import f0_errors, f0_hz
    from evaluation.metrics.quality_net import degradation_index
    from evaluation.metrics.recognition import (
        character_error_rate,
        keyword_accuracy,
        slot_accuracy,
        transcribe,
        word_error_rate,
    )
    from evaluation.metrics.speaker import (
        equal_error_rate,
        speaker_accuracy,
        speaker_embedding,
        speaker_similarity,
    )
    from evaluation.metrics.swap import f0_moved, f0_to_voice, voice_follows
    from evaluation.metrics.sync import audio_video_offset
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "audio_video_offset": "evaluation.metrics.sync:audio_video_offset",
            "character_error_rate": "evaluation.metrics.recognition:character_error_rate",
            "equal_error_rate": "evaluation.metrics.speaker:equal_error_rate",
            "distillmos": "evaluation.metrics.opinion:distillmos",
            "dnsmos": "evaluation.metrics.opinion:dnsmos",
            "estoi": "evaluation.metrics.intelligibility:estoi",
            "f0_errors": "evaluation.metrics.pitch:f0_errors",
            "f0_hz": "evaluation.metrics.pitch:f0_hz",
            "f0_moved": "evaluation.metrics.swap:f0_moved",
            "f0_to_voice": "evaluation.metrics.swap:f0_to_voice",
            "female_probability": "evaluation.metrics.gender:female_probability",
            "gender_agreement": "evaluation.metrics.gender:gender_agreement",
            "keyword_accuracy": "evaluation.metrics.recognition:keyword_accuracy",
            "level_dbfs": "evaluation.metrics.input_checks:level_dbfs",
            "lip_sync": "evaluation.metrics.lipsync:lip_sync",
            "mcd": "evaluation.metrics.cepstrum:mcd",
            "mel_l1": "evaluation.metrics.cepstrum:mel_l1",
            "nisqa_tts": "evaluation.metrics.naturalness:nisqa_tts",
            "offset_ms": "evaluation.metrics.offset:offset_ms",
            "pesq": "evaluation.metrics.perceptual:pesq",
            "slot_accuracy": "evaluation.metrics.recognition:slot_accuracy",
            "degradation_index": "evaluation.metrics.quality_net:degradation_index",
            "speaker_accuracy": "evaluation.metrics.speaker:speaker_accuracy",
            "speaker_embedding": "evaluation.metrics.speaker:speaker_embedding",
            "speaker_similarity": "evaluation.metrics.speaker:speaker_similarity",
            "stoi": "evaluation.metrics.intelligibility:stoi",
            "transcribe": "evaluation.metrics.recognition:transcribe",
            "utmos": "evaluation.metrics.naturalness:utmos",
            "voice_follows": "evaluation.metrics.swap:voice_follows",
            "word_error_rate": "evaluation.metrics.recognition:word_error_rate",
        },
    )

__all__ = [
    "audio_video_offset",
    "character_error_rate",
    "degradation_index",
    "distillmos",
    "dnsmos",
    "equal_error_rate",
    "estoi",
    "f0_errors",
    "f0_hz",
    "f0_moved",
    "f0_to_voice",
    "female_probability",
    "gender_agreement",
    "keyword_accuracy",
    "level_dbfs",
    "lip_sync",
    "mcd",
    "mel_l1",
    "nisqa_tts",
    "offset_ms",
    "pesq",
    "slot_accuracy",
    "speaker_accuracy",
    "speaker_embedding",
    "speaker_similarity",
    "stoi",
    "transcribe",
    "utmos",
    "voice_follows",
    "word_error_rate",
]
