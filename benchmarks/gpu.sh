#!/bin/bash
# One prepared run for a machine with a GPU that is at hand for a quarter of an hour.
#
#   benchmarks/gpu.sh PACK OUT [--minutes 14] [--piece-mib 15] [--light] [--dry-run]
#
# PACK is a folder of `python -m benchmarks.gpu_pack` and may hold wheels/ to install from; PyTorch with CUDA
# must be there. Every step ends by itself in time; a step that fails does not stop the next.
#   1 install from the wheels         3 throughput of each stage at the paper's size
#   2 the CUDA tests                  4 the paper's lip encoder, then its decoder, with checkpoints as they go
# OUT gets few files that are small enough to be fetched: summary.txt, logs.tar.gz, and weights in pieces of --piece-mib
# (`cat weights.safetensors.piece-* > weights.safetensors`): the lips' as soon as they are there, in their place at the
# end those of lips, face and decoder in half precision. The checkpoints stay in the work folder that summary.txt names.
# --light is for who can fetch 64 MiB: the decoder's lighter residual blocks and the small face encoder.
# --dry-run does the same at debug size on the CPU, in three or four minutes.
set -u
usage() { sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
MINUTES=14 PIECE_MIB=15 LIGHT=() DRY=0 PLACES=()
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) MINUTES="${2:?}"; shift ;;
    --piece-mib) PIECE_MIB="${2:?}"; shift ;;
    --light) LIGHT=(--set decoder.resblock=2 --set face.kind=residual) ;;
    --dry-run) DRY=1 ;;
    -*) usage ;;
    *) PLACES+=("$1") ;;
  esac
  shift
done
[ ${#PLACES[@]} -eq 2 ] || usage
PACK="$(realpath "${PLACES[0]}")"; mkdir -p "${PLACES[1]}"; OUT="$(realpath "${PLACES[1]}")"
[ -f "$PACK/manifest.jsonl" ] || { echo "$PACK holds no manifest.jsonl; make it with python -m benchmarks.gpu_pack"; exit 2; }
cd "$(dirname "$0")/.." || exit 1
PYTHON="${PYTHON:-python3}"
END=$(( $(date +%s) + MINUTES * 60 ))
left() { echo $(( END - $(date +%s) )); }
SUMMARY="$OUT/summary.txt"; : > "$SUMMARY"
say() { echo "$*" | tee -a "$SUMMARY"; }
WORK="$(mktemp -d)"; mkdir "$WORK/logs"
say "work folder: $WORK"

# step NAME SECONDS COMMAND…: at most so long and no longer than is left; its output in WORK/logs/NAME.log.
step() {
  local name="$1" limit="$2" begun; shift 2
  [ "$limit" -lt "$(left)" ] || limit="$(left)"
  if [ "$limit" -lt 5 ]; then say "$name: no time left"; return 1; fi
  begun=$(date +%s)
  # Ctrl-C, so that a training ends between two steps and keeps its checkpoints.
  timeout -s INT -k 30 "$limit" "$@" > "$WORK/logs/$name.log" 2>&1
  local code=$?
  say "$name: exit $code after $(( $(date +%s) - begun )) s (124: its time was over)"
  tail -n 3 "$WORK/logs/$name.log" | cut -c1-200 | sed 's/^/    /' | tee -a "$SUMMARY"
  tar -czf "$OUT/logs.tar.gz" -C "$WORK" logs
  return $code
}

# bring FILE: in pieces in OUT, in the place of those that are there.
bring() {
  rm -f "$OUT"/weights.safetensors.piece-*
  split -b "${PIECE_MIB}M" "$1" "$OUT/weights.safetensors.piece-"
  say "weights: $1, sha256 $(sha256sum < "$1" | cut -c1-64), $(ls "$OUT"/weights.safetensors.piece-* | wc -l) pieces"
}

if [ -d "$PACK/wheels" ]; then
  "$PYTHON" -m venv --system-site-packages "$WORK/venv" && PYTHON="$WORK/venv/bin/python"
  step install 120 "$PYTHON" -m pip install --no-index --no-deps "$PACK"/wheels/*.whl
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ "$DRY" -eq 1 ]; then
  LIMIT=$(( MINUTES * 60 ))  # a busy CPU is no reason to fail
  SIZE=debug BATCH=4 SPEED=(--size debug --device cpu --batch 2)
  TRAIN=(--size debug --set train.device=cpu --set train.epochs=1)
else
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { say "no CUDA device: use --dry-run"; exit 1; }
  nvidia-smi > "$WORK/logs/nvidia-smi.txt" 2>&1
  LIMIT=150
  SIZE=paper BATCH=32 SPEED=(--size paper --device cuda --batch 16)
  # An epoch of eight passes: saving after each of a few seconds would take longer than its steps.
  TRAIN=(--config configs/paper.yaml --set train.epochs=100000 --set train.passes=8 --set train.keep_best=1 --set train.lr_decay=0.92)
fi
say "size $SIZE, $MINUTES minutes, $("$PYTHON" -c 'import torch; print("PyTorch", torch.__version__)')"
step tests "$LIMIT" "$PYTHON" -m pytest -q tests/unit/facetron/test_facetron_cuda.py
step throughput "$LIMIT" "$PYTHON" -m benchmarks.gpu_speed "${SPEED[@]}"
ALL=(--manifest "$PACK" "${TRAIN[@]}" --set train.batch_size=$BATCH --set train.loggers=csv ${LIGHT[@]+"${LIGHT[@]}"})
LIP="$WORK/lip/best.safetensors" DECODER="$WORK/decoder/best.safetensors"
step lip $(( $(left) * 55 / 100 )) "$PYTHON" -m facetron.cli train lip "${ALL[@]}" --out "$WORK/lip"
[ -f "$LIP" ] && bring "$LIP"
if [ -f "$LIP" ]; then
  # What is left, but for half a minute to bring the weights.
  step decoder $(( $(left) - 40 )) "$PYTHON" -m facetron.cli train decoder "${ALL[@]}" --out "$WORK/decoder" --from "$LIP"
fi
if [ -f "$DECODER" ]; then
  step export 60 "$PYTHON" -m facetron.cli export --from "$LIP" --from "$DECODER" --out "$WORK/weights.safetensors" \
    --note "benchmarks/gpu.sh" && bring "$WORK/weights.safetensors"
fi
for stage in lip decoder; do cp "$WORK/$stage/log.csv" "$WORK/logs/$stage.csv" 2> /dev/null; done
tar -czf "$OUT/logs.tar.gz" -C "$WORK" logs
say "done after $(( MINUTES * 60 - $(left) )) s; OUT has $(du -sh "$OUT" | cut -f1) in $(find "$OUT" -type f | wc -l) files"
