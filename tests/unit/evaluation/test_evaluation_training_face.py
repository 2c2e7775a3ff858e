"""Training of the face encoder and of the matcher, at the smallest size; and the weights that are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from face_builds import still_of

from evaluation.models.face import WEIGHTS as FACE
from evaluation.models.face import FaceJudge, Size, load_face, prepared
from evaluation.models.match import WEIGHTS as MATCH
from evaluation.models.match import Matcher, load_match
from evaluation.models.shipped import open_shipped, save_shipped
from evaluation.training.face import UNSEEN, Recipe, fit, save, train
from evaluation.training.face_bank import Face, law_of, read_rows, varied
from evaluation.training.match import Person, accuracy
from evaluation.training.match import Recipe as MatchRecipe
from evaluation.training.match import fit as fit_match
from manifests.errors import BadInput
from manifests.io import write_json, write_jsonl

SMALL = Size(channels=(4, 4, 8), embedding=8)


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    told = {"s3": ("male", 4.7, 0.5), "s5": ("male", 4.9, -0.5), "s7": ("female", 5.3, 0.1)}
    return [
        Face(s, f"{s}/a", gender, np.stack([still_of(s, 0), still_of(s, 1)]), np.array(law))
        for s, (gender, *law) in told.items()
    ]


def test_training_learns_and_saves_what_it_loads(faces: list[Face], tmp_path: Path) -> None:
    recipe = Recipe(steps=12, batch=12, averaging=0.5)
    network = train(faces, SMALL, recipe)
    again = train(faces, SMALL, recipe)
    stills = [face.stills[0] for face in faces]
    with torch.no_grad():
        one, two = network(prepared(stills)), again(prepared(stills))
    assert torch.equal(one, two), "one seed, one network"
    numbers = fit(network, faces, seed=0)
    path = tmp_path / "face.safetensors"
    save(path, network, numbers, SMALL, recipe, faces)
    loaded = load_face(path)
    assert np.allclose(loaded.embed(stills), one.numpy(), atol=2e-2), "half precision"
    law = loaded.law(loaded.embed(stills))
    as_fitted = FaceJudge(network, {k: v.astype(float) for k, v in numbers.items()})
    assert np.allclose(law, as_fitted.law(loaded.embed(stills)), atol=1e-2)
    assert law[:, 0].mean() == pytest.approx(4.97, abs=0.05), "a ridge keeps the mean"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    load_face.cache_clear()
    open_shipped.cache_clear()
    with pytest.raises(BadInput, match="is not the file of its card"):
        load_face(path)
    load_face.cache_clear()


def test_transposed_numbers_come_back_in_their_places(tmp_path: Path) -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2).T
    assert not table.flags.c_contiguous
    save_shipped(tmp_path / "table.safetensors", {"table": table}, {}, {})
    assert np.array_equal(open_shipped(tmp_path / "table.safetensors").tensors["table"], table)


def test_varied_stills_keep_the_face(faces: list[Face]) -> None:
    rng = np.random.default_rng(0)
    still = faces[0].stills[0]
    changed = [varied(still, rng) for _ in range(8)]
    assert {picture.shape for picture in changed} == {still.shape}
    assert len({picture.tobytes() for picture in changed}) == 8
    cosines = load_face().embed(changed) @ load_face().embed([still])[0]
    assert np.median(cosines) > 0.6


def test_matcher_finds_what_it_learned() -> None:
    rng = np.random.default_rng(0)
    law = rng.standard_normal((12, 2))
    to_voice, to_face = rng.standard_normal((2, 2, 12))
    people = [
        Person(
            f"s{i}", "male" if i % 2 else "female", own,
            own @ to_voice + 0.05 * rng.standard_normal((4, 12)),
            own @ to_face + 0.05 * rng.standard_normal((4, 12)),
        )
        for i, own in enumerate(law)
    ]  # fmt: skip
    known, new = people[:8], people[8:]
    numbers = fit_match(known, MatchRecipe(voice_penalty=0.1, face_penalty=0.1))
    matcher = Matcher({name: values.astype(np.float64) for name, values in numbers.items()})
    assert matcher.voices(people[0].voices).shape == (4, 2)
    truth = (law - law[:8].mean(axis=0)) / law[:8].std(axis=0)
    said = np.stack([matcher.faces(person.faces).mean(axis=0) for person in people])
    assert np.abs(said - truth).max() < 0.3
    assert accuracy(matcher, new, 2) > 90, "a rule holds for those whom nobody has met"
    assert accuracy(matcher, people, 4, same_gender=True) > 80
    blind = Matcher({**matcher.numbers, "face.weight": np.zeros((2, 12))})
    assert accuracy(blind, people, 2) < 60


def test_shipped_weights_have_cards_that_leave_the_held_out_speakers_out() -> None:
    for path in (FACE, MATCH):
        card = open_shipped(path).card
        assert len(card["trained_on"]) == 29
        assert not set(UNSEEN) & set(card["trained_on"])
        assert path.stat().st_size < 1_500_000
        text = path.with_suffix(".md").read_text()
        assert card["sha256"] in text
        assert "chance" in text
    assert load_match().numbers["face.weight"].shape[1] == load_face().network.project.out_features


def test_a_build_that_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", [])
    with pytest.raises(BadInput, match="holds no clips to use as learnt"):
        read_rows(tmp_path, UNSEEN)
    write_json(tmp_path / "provenance.json", {"corpus": str(tmp_path / "gone")})
    with pytest.raises(BadInput, match="made from no SynthGRID"):
        law_of(tmp_path)
