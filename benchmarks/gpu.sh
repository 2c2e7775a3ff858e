#!/bin/bash
# One prepared run for a machine with a GPU that is at hand for a quarter of an hour.
#
#   benchmarks/gpu.sh PACK OUT [--minutes 14] [--dry-run]
#
# PACK is a folder of `python -m benchmarks.gpu_pack` and may hold wheels/ to install from; PyTorch with CUDA
# must be there. Every step writes into OUT and ends by itself in time; a step that fails does not stop the next.
#   1 install from the wheels         3 throughput of each stage at the paper's size
#   2 the CUDA tests                  4 the paper's lip encoder, then its decoder, with checkpoints as they go
# --dry-run does the same at debug size on the CPU, in a minute or two.
set -u
usage() { sed -n '2,11p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
MINUTES=14 DRY=0 PLACES=()
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) MINUTES="${2:?}"; shift ;;
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

# step NAME SECONDS COMMAND…: at most so long and no longer than is left; its output in OUT/NAME.log.
step() {
  local name="$1" limit="$2" begun; shift 2
  [ "$limit" -lt "$(left)" ] || limit="$(left)"
  if [ "$limit" -lt 5 ]; then say "$name: no time left"; return 1; fi
  begun=$(date +%s)
  # Ctrl-C, so that a training ends between two steps and keeps its checkpoints.
  timeout -s INT -k 30 "$limit" "$@" > "$OUT/$name.log" 2>&1
  local code=$?
  say "$name: exit $code after $(( $(date +%s) - begun )) s (124: its time was over)"
  tail -n 3 "$OUT/$name.log" | cut -c1-200 | sed 's/^/    /' | tee -a "$SUMMARY"
  return $code
}

if [ -d "$PACK/wheels" ]; then
  "$PYTHON" -m venv --system-site-packages "$OUT/venv" && PYTHON="$OUT/venv/bin/python"
  step install 120 "$PYTHON" -m pip install --no-index --no-deps "$PACK"/wheels/*.whl
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ "$DRY" -eq 1 ]; then
  LIMIT=$(( MINUTES * 60 ))  # a busy CPU is no reason to fail
  SIZE=debug BATCH=4 SPEED=(--size debug --device cpu --batch 2)
  TRAIN=(--size debug --set train.device=cpu --set train.epochs=1)
else
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { say "no CUDA device: use --dry-run"; exit 1; }
  nvidia-smi > "$OUT/nvidia-smi.txt" 2>&1
  LIMIT=150
  SIZE=paper BATCH=32 SPEED=(--size paper --device cuda --batch 16)
  TRAIN=(--config configs/paper.yaml --set train.epochs=100000 --set train.keep_best=1 --set train.lr_decay=0.99)
fi
say "size $SIZE, $MINUTES minutes, $("$PYTHON" -c 'import torch; print("PyTorch", torch.__version__)')"
step tests "$LIMIT" "$PYTHON" -m pytest -q tests/unit/facetron/test_facetron_cuda.py
step throughput "$LIMIT" "$PYTHON" -m benchmarks.gpu_speed "${SPEED[@]}"
ALL=(--manifest "$PACK" "${TRAIN[@]}" --set train.batch_size=$BATCH)
step lip $(( $(left) * 55 / 100 )) "$PYTHON" -m facetron.cli train lip "${ALL[@]}" --out "$OUT/lip"
if [ -f "$OUT/lip/best.safetensors" ]; then
  step decoder $(( $(left) - 40 )) "$PYTHON" -m facetron.cli train decoder "${ALL[@]}" --out "$OUT/decoder" \
    --from "$OUT/lip/best.safetensors"
fi
if [ -f "$OUT/decoder/best.safetensors" ]; then
  step export 60 "$PYTHON" -m facetron.cli export --from "$OUT/lip/best.safetensors" \
    --from "$OUT/decoder/best.safetensors" --out "$OUT/model.safetensors" --note "benchmarks/gpu.sh"
fi
rm -f "$OUT"/*/resume.safetensors "$OUT"/*/last.*
[ -f "$OUT/model.safetensors" ] && say "done: $OUT/model.safetensors"
