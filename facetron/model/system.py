"""Facetron as a system of the registry: its sizes, stages, parts and what synthesizes with them."""

from __future__ import annotations

from facetron.systems import System

FACETRON = System(
    name="facetron",
    label="Facetron",
    source="Um, Kim, Lee and Kang: Facetron, a multi-speaker face-to-speech model",
    presets="facetron.model.sizes:PRESETS",
    stages={
        "lip": "facetron.train.lip:LipStage",
        "prosody": "facetron.train.prosody:ProsodyStage",
        "face": "facetron.train.face:FaceStage",
        "decoder": "facetron.train.decoder:DecoderStage",
        "vocoder": "facetron.train.vocoder:VocoderStage",
        "joint": "facetron.train.joint:JointStage",
    },
    defaults="facetron.train.config:facetron_defaults",
    synthesizer="facetron.synthesis.synthesizer:Synthesizer",
    parts=("lip", "face", "prosody", "decoder", "vocoder"),
    needed=("lip", "face", "decoder"),
    inventory="facetron.model.paper:modules",
    departures="facetron.model.paper:departures",
    encoders={
        "face": "facetron.model.paper:face_encoder",
        "prosody": "facetron.model.paper:prosody_encoder",
    },
)
