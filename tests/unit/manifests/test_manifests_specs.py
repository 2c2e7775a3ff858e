"""A spec is the identity of features: equal specs, equal fingerprints, and nothing left out."""

from __future__ import annotations

import dataclasses
import json

import pytest

from manifests.errors import BadInput, SpecMismatch
from manifests.specs import (
    CLIP_FRAMES,
    CLIP_SECONDS,
    AudioSpec,
    CropSpec,
    LandmarkSpec,
    MelSpec,
    Spec,
)

SPECS = (AudioSpec(), MelSpec(), LandmarkSpec(options=(("a", "1"), ("b", "2"))), CropSpec())


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_a_spec_survives_json(spec: Spec) -> None:
    again = type(spec).from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.fingerprint() == spec.fingerprint()
    assert hash(again) == hash(spec)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_every_field_is_in_the_fingerprint(spec: Spec) -> None:
    seen = {spec.fingerprint()}
    for field in dataclasses.fields(spec):
        old = getattr(spec, field.name)
        new = {
            str: "other",
            int: 7,
            float: 0.125,
            bool: not old,
            tuple: (("c", "3"),),
            type(None): -4.0,
        }[type(old)]
        seen.add(dataclasses.replace(spec, **{field.name: new}).fingerprint())
    assert len(seen) == 1 + len(dataclasses.fields(spec))


PINNED = {
    "AudioSpec": "a57dcb7d32dc6ae9",
    "CropSpec": "b11e2273e365edcd",
    "LandmarkSpec": "d84d9c9c73ef7a4a",
    "MelSpec": "f00af0910813f317",
}


def test_fingerprints_are_pinned() -> None:
    """Another value would declare every build in the world to be other features."""
    assert {type(spec).__name__: spec.fingerprint() for spec in SPECS} == PINNED


def test_equal_fields_of_another_kind_are_another_fingerprint() -> None:
    class One(Spec): ...

    class Two(Spec): ...

    assert One().fingerprint() != Two().fingerprint()


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(BadInput, match="MelSpec has no field n_fftt; use the version"):
        MelSpec.from_dict({"n_fftt": 1})


def test_a_mixture_is_refused() -> None:
    mel = MelSpec()
    mel.require(mel.fingerprint(), "features/mel")
    with pytest.raises(SpecMismatch, match="features/mel has MelSpec 0123, but "):
        mel.require("0123", "features/mel")


def test_the_physics_of_a_clip() -> None:
    assert CLIP_FRAMES == 75
    assert CLIP_SECONDS == 3.0
    assert AudioSpec().clip_samples == 48_000
    assert MelSpec().frames(48_000) == 150
    assert MelSpec(padding="center").frames(48_000) == 151
    assert MelSpec().frame_rate_hz == 50.0
