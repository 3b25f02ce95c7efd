#!/usr/bin/env bash
# The program from a synthetic stack to its scores, a coordinator and one worker under mpirun, on a device.
# Usage: program.sh TESSERA MPIRUN cpu|cuda      exit code 77: skipped
set -euo pipefail
tessera=$1 mpirun=$2 device=$3
if [ "$device" = cuda ] && [ -z "${TESSERA_NEEDS_GPU:-}" ] && ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
  echo "SKIPPED: no CUDA device"
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >e.yaml <<END
experiment: device
device: $device
data:
  raw: stack.h5:/volumes/raw
  labels: stack.h5:/volumes/labels/cells
  train_sections: [0, 4]
  validation_sections: [4, 5]
model: {preset: unet2015, base_filters: 4, depth: 3}
train: {iterations: 20, global_batch: 2, tile: 188, optimizer: adam, learning_rate: 2.0e-3, validate_every: 10, checkpoint_every: 10}
infer:
  raw: stack.h5:/volumes/raw
  output: prediction.h5:/volumes/predictions/interior
evaluate: {sections: [4, 6]}
END
ranks=("$mpirun" -n 2 --oversubscribe --bind-to none "$tessera")
"$tessera" synth stack.h5 --shape 6,256,300 --seed 1
"${ranks[@]}" train e.yaml
"${ranks[@]}" infer e.yaml
"$tessera" verify e.yaml
"$tessera" evaluate e.yaml
# The worker reports its device.
for record in training inference; do
  grep -q "\"device\": \"$device[:,]" "runs/device/$record.json" || { echo "$record.json does not say $device" >&2; exit 1; }
done
echo "all steps done on $device"
