#!/usr/bin/env bash
# Merge the tiny experts with every method at its defaults, and evaluate all results on the held-out items.
#
#     recipes/tiny/compare_merges.sh [RUN] [OUT] [key=value ...]
#
# RUN is the folder of a finished demo (runs/demo), OUT the folder to write (runs/compare). Continues where it stopped.
set -euo pipefail
run=${1:-runs/demo} out=${2:-runs/compare}
lipo=${LIPO:-lipo}
experts=(--experts "math=$run/experts/math" --experts "structured=$run/experts/structured" --experts "ocr=$run/experts/ocr")

declare -A options=(
    [plain_average]="average" [task_arithmetic]="task_arithmetic" [ties]="ties" [dare_linear]="dare_linear"
    [dare_ties]="dare_ties" [tsv]="tsv" [iso_c]="iso_c" [wudi]="wudi" [optmerge]="optmerge" [swudi]="swudi" [amm]="amm"
    [amm_paper]="amm --set mode=paper"
    [amm_mean]="amm --set init=mean"
    [amm_shared]="amm --set shared=average"
)
order=(plain_average task_arithmetic ties dare_linear dare_ties tsv iso_c wudi optmerge swudi amm amm_paper amm_mean amm_shared)

models=()
for name in "${order[@]}"; do
    # shellcheck disable=SC2086 - the method and its options are several words
    "$lipo" merge --base recipes/tiny/base "${experts[@]}" --out "$out/$name" --method ${options[$name]}
    models+=("models.$name=$out/$name")
done

# Further words override the evaluation, e.g. benchmarks.math.limit=100
exec "$lipo" eval recipes/tiny/compare_merges.yaml out="$out/eval" "${models[@]}" \
    "benchmarks.math.source=$run/data/math_test.parquet" \
    "benchmarks.structured.source=$run/data/structured_test.parquet" \
    "benchmarks.ocr.source=$run/data/ocr_test.parquet" "${@:3}"
