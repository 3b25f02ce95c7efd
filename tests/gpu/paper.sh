#!/usr/bin/env bash
# The paper's experiment, configs/isbi2012_paper.yaml, on real sections: trained on 0 to 15, scored on 16 to 19.
# Usage: paper.sh TESSERA MPIRUN cpu|cuda MINUTES FOLDER [DATA]      exit code 77: skipped
# The training ends after MINUTES at the latest. FOLDER is created and keeps the run. DATA (default TESSERA_DATA, or
# ../shared/data beside the sources) holds isbi2012/train-*.tif. On the CPU a small network only shows that all steps work.
set -euo pipefail
source=$(realpath "$(dirname "$0")/../..")
tessera=$(realpath "$1") mpirun=$2 device=$3 minutes=$4 folder=$5 data=${6:-${TESSERA_DATA:-$source/../shared/data}}
for kind in volume labels; do
  file=$data/isbi2012/train-$kind-00-19.tif
  [ -e "$file" ] || { echo "SKIPPED: no $file: TESSERA_DATA names the folder"; exit 77; }
done
data=$(realpath "$data") config=$source/configs/isbi2012_paper.yaml
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
settings=(--set "device=$device" --set "train.minutes=$minutes")
if [ "$device" = cpu ]; then
  settings+=(--set model.base_filters=4 --set train.tile=220 --set train.validate_every=100000 --set infer.checkpoint=latest)
fi
ranks=("$mpirun" -n 2 --oversubscribe --bind-to none "$tessera")
"$tessera" import "$data/isbi2012/train-volume-00-19.tif" isbi.h5:/volumes/raw --resolution 50,4,4
"$tessera" import "$data/isbi2012/train-labels-00-19.tif" isbi.h5:/volumes/labels/cells --resolution 50,4,4
begin=$(date +%s)
"${ranks[@]}" train "$config" "${settings[@]}"
end=$(date +%s)
"${ranks[@]}" infer "$config" "${settings[@]}"
"$tessera" evaluate "$config" "${settings[@]}"
iterations=$(tail -n 1 runs/isbi2012_paper/metrics.csv | cut -d, -f1)
echo "the paper's experiment on $device: $iterations iterations; the whole training, start and checkpoints included, took $((end - begin)) s"
