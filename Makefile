# `make demo`, `make test`, `make lint`, `make bench`. Each installs what it needs into .venv first
# and is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
DEMO_SENTENCES ?= 20
JOBS ?= 2

.DEFAULT_GOAL := help
# Trained systems beside Facetron, and how many clips of the unseen speakers the demo has them speak.
BASELINES ?= voc lip2wav vcvts gan
BASELINE_CLIPS ?= 16

.PHONY: help install demo baselines test lint bench clean $(addprefix demo-,facetron inspect shuffled swapped resynth embed $(BASELINES))

help:
	@echo "make demo   the whole walk on a corpus made here: synth, build, synthesize, report"
	@echo "make baselines   trains the systems beside Facetron from nothing on the demo's clips"
	@echo "make test   the tests (under 12 minutes on two cores)"
	@echo "make lint   ruff and mypy"
	@echo "make bench  speed, on real clips where they are at hand"

install: $(STAMP)

# face-alignment asks for the opencv-python that draws windows and wants libGL; the headless one that
# the package requires serves it as well, so it is installed without its own dependencies.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.10-3.14 found: install one or set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'face-alignment>=1.5,<2'
	$(BIN)/gridprep models fetch
	-$(BIN)/facetron-eval judges fetch
	touch $@

# The whole walk, each step the command that a user would type. Every step resumes where it stopped.
# Without the judges of naturalness, which take seconds of every clip: `facetron-eval report` has them.
DEMO_METRICS := cer,wer,slot_letter,speaker_similarity,speaker_eer,ge2e_similarity,gender_agreement,stoi,estoi,mcd,mel_l1,f0_rmse,f0_corr,vuv_error
SWAP_METRICS := cer,wer,gender_agreement,voice_follows,f0_voice,f0_follows

RUNS := $(addprefix $(DEMO)/runs/,facetron $(BASELINES) shuffled resynth)
# Steps that need the features alone run beside each other; threads that wait leave the core to others. The
# others wait for demo-facetron, which embeds the stills of all speakers for them.
MADE := $(addprefix demo-,facetron inspect shuffled swapped resynth embed $(BASELINES))

demo: $(STAMP)
	$(BIN)/gridprep synth $(DEMO)/corpus --sentences $(DEMO_SENTENCES) --jobs $(JOBS)
	$(BIN)/gridprep build --split large-unseen --corpus $(DEMO)/corpus --out $(DEMO)/features --jobs $(JOBS)
	OMP_WAIT_POLICY=passive $(MAKE) --no-print-directory --jobs $(JOBS) $(MADE)
	$(BIN)/facetron-eval score $(RUNS) --metrics $(DEMO_METRICS) --jobs $(JOBS)
	$(BIN)/facetron-eval report $(DEMO)/runs/facetron $(DEMO)/runs/shuffled $(DEMO)/runs/resynth --embeddings $(DEMO)/embeddings.npz --metrics $(DEMO_METRICS) --out $(DEMO)/report --jobs $(JOBS)
	$(BIN)/facetron-eval report $(RUNS) --common --metrics $(DEMO_METRICS) --out $(DEMO)/report-systems --jobs $(JOBS)
	$(BIN)/facetron-eval report $(DEMO)/runs/swapped --table disentanglement --metrics $(SWAP_METRICS) --out $(DEMO)/report-swapped --jobs $(JOBS)
	$(BIN)/facetron page $(DEMO)/runs/facetron $(addprefix $(DEMO)/runs/,$(BASELINES)) $(DEMO)/runs/resynth $(DEMO)/runs/swapped --out $(DEMO)/page
	@echo
	@echo "look at:"
	@echo "  $(DEMO)/inspect/index.html            what was cut out of the clips"
	@echo "  $(DEMO)/page/index.html               the clips, talking"
	@echo "  $(DEMO)/report/report.html            the table: the model, its control, its upper bound"
	@echo "  $(DEMO)/report-systems/report.html    the same beside other systems, on the clips that all spoke"
	@echo "  $(DEMO)/report-swapped/report.html    lips of one speaker, face of another"

SPEAK := $(BIN)/facetron synthesize --manifest $(DEMO)/features --subset test

demo-facetron:
	$(SPEAK) --checkpoint synthgrid --out $(DEMO)/runs/facetron

demo-shuffled: demo-facetron
	$(SPEAK) --checkpoint synthgrid --shuffle-lips --out $(DEMO)/runs/shuffled

demo-swapped: demo-facetron
	$(SPEAK) --checkpoint synthgrid --swap 30 --out $(DEMO)/runs/swapped

$(addprefix demo-,$(BASELINES)): demo-%: demo-facetron
	$(SPEAK) --checkpoint $* --limit $(BASELINE_CLIPS) --face-clips 3 --out $(DEMO)/runs/$*

demo-resynth:
	$(BIN)/facetron resynth --manifest $(DEMO)/features --subset test --out $(DEMO)/runs/resynth --jobs 1

demo-embed:
	$(BIN)/facetron embed --manifest $(DEMO)/features --checkpoint synthgrid --subset all --out $(DEMO)/embeddings.npz

demo-inspect:
	$(BIN)/gridprep inspect $(DEMO)/features --out $(DEMO)/inspect

# What made the bundled weights, on the features of `make demo`; by the sum of its parts some 70 minutes of one core.
EYES := facetron/weights/synthgrid/model.safetensors
HALF := --size small --set train.precision=bf16
baselines: $(STAMP)
	$(BIN)/facetron train all --system voc --manifest $(DEMO)/features --from $(EYES) --out $(DEMO)/train/voc $(HALF) --set train.lip_variants=1 --set train.epochs=24 --set train.lr_decay=0.93 --set train.learning_rate=2e-3
	$(BIN)/facetron train decoder --system lip2wav --manifest $(DEMO)/features --from $(EYES) --out $(DEMO)/train/lip2wav/taught $(HALF) --set train.lip_variants=1 --set train.batch_size=16 --set train.epochs=17 --set train.lr_decay=0.93
	$(BIN)/facetron train decoder --system lip2wav --manifest $(DEMO)/features --from $(EYES) --from $(DEMO)/train/lip2wav/taught/best.safetensors --out $(DEMO)/train/lip2wav/decoder $(HALF) --set train.lip_variants=2 --set train.batch_size=16 --set train.epochs=45 --set train.lr_decay=0.93 --set train.warmup_steps=20 --set train.ema=0.99 --set forced_steps=0 --set falling_steps=0 --set guide=1 --set guide_steps=300 --set train.augment.flip=0.5 --set train.augment.brightness=0.08 --set train.augment.contrast=0.15
	$(BIN)/facetron train conversion --system vcvts --manifest $(DEMO)/features --out $(DEMO)/train/vcvts/conversion $(HALF) --set train.epochs=20 --set train.lr_decay=0.9
	$(BIN)/facetron train face --system vcvts --manifest $(DEMO)/features --from $(DEMO)/train/vcvts/conversion/best.safetensors --out $(DEMO)/train/vcvts/face $(HALF) --set train.epochs=8 --set train.lr_decay=0.7
	$(BIN)/facetron train reader --system vcvts --manifest $(DEMO)/features --from $(EYES) --from $(DEMO)/train/vcvts/conversion/best.safetensors --from $(DEMO)/train/vcvts/face/best.safetensors --out $(DEMO)/train/vcvts/reader $(HALF) --set train.lip_variants=1 --set train.epochs=12 --set train.lr_decay=0.8
	$(BIN)/facetron train waves --system gan --manifest $(DEMO)/features --from $(EYES) --out $(DEMO)/train/gan/first $(HALF) --set level=0 --set train.lip_variants=1 --set train.epochs=10 --set train.lr_decay=0.8
	$(BIN)/facetron export --from $(DEMO)/train/gan/first/best.safetensors --out $(DEMO)/train/gan/first/generator.safetensors
	$(BIN)/facetron train waves --system gan --manifest $(DEMO)/features --from $(EYES) --from $(DEMO)/train/gan/first/generator.safetensors --out $(DEMO)/train/gan/waves $(HALF) --set train.lip_variants=1 --set train.epochs=3 --set train.learning_rate=5e-4 --set train.lr_decay=0.5 --set train.ema=0.97
	$(BIN)/facetron train painting --system wav2pix --manifest $(DEMO)/features --out $(DEMO)/train/wav2pix $(HALF) --set train.epochs=22 --set train.learning_rate=1e-3 --set train.critic_learning_rate=4e-4
	$(BIN)/facetron train matching --system choi --manifest $(DEMO)/features --out $(DEMO)/train/choi/matching $(HALF) --set train.epochs=5
	$(BIN)/facetron train generation --system choi --manifest $(DEMO)/features --from $(DEMO)/train/choi/matching/best.safetensors --out $(DEMO)/train/choi/first $(HALF) --set blur=0 --set train.epochs=8 --set train.ema=0.98
	$(BIN)/facetron train generation --system choi --manifest $(DEMO)/features --from $(DEMO)/train/choi/matching/best.safetensors --from $(DEMO)/train/choi/first/last.safetensors --out $(DEMO)/train/choi/generation $(HALF) --set train.epochs=16
	$(BIN)/facetron train ge2e --system face2speech --manifest $(DEMO)/features --out $(DEMO)/train/face2speech/ge2e $(HALF) --set train.epochs=50 --set train.lr_decay=0.95
	$(BIN)/facetron train tts --system face2speech --manifest $(DEMO)/features --from $(DEMO)/train/face2speech/ge2e/best.safetensors --out $(DEMO)/train/face2speech/tts $(HALF) --set train.epochs=30 --set train.lr_decay=0.93
	$(BIN)/facetron train face --system face2speech --manifest $(DEMO)/features --from $(DEMO)/train/face2speech/ge2e/best.safetensors --out $(DEMO)/train/face2speech/face $(HALF) --set train.epochs=16 --set train.lr_decay=0.85

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile  # what a file's tests share is made once

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
