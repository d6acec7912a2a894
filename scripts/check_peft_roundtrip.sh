#!/usr/bin/env bash
# Loads adapters that deft trained into Hugging Face transformers + peft and compares what both answer.
#
#   scripts/check_peft_roundtrip.sh
#
# For each method that peft has a format for: a short run of the quickstart, `deft adapter export`, `deft adapter import` (which
# must give the run's own file back, AdaLoRA excepted), then pooled hidden states and logits of the float32 MiniLM with
# the adapter on both sides, which may differ by 1e-4. Then, by peers/check_families.py, adapters that peft makes for small random
# models of the other families. Needs cargo, python3, the network, and scripts/fetch_models.sh.
# Environment: VENV (target/peers-venv: made and filled with torch, transformers and peft if it is not there).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-target/peers-venv}
model=${DEFT_MODELS:-models}/minilm-f32
[ -f "$model/model.safetensors" ] || bash scripts/fetch_models.sh
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.15.0 transformers==5.23.0 peft==0.21.2
fi
cargo build --release --quiet
deft=target/release/deft
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tokens=(--tokens 101,2054,2003,1037,3185,102 --tokens 101,2204,102)
check() {
    local name=$1 peft=$2 run
    "$deft" run scenarios/quickstart.yaml --quiet --no-cache --out "$scratch" --set "name=$name" --set "peft=$peft" \
        --set technique.rounds=2 --set technique.local_steps=2 --set workload.batch_size=8 --set "technique.aggregation={method: digital}" \
        --set training.evaluation_samples=50 --set training.final_evaluation_samples=50 >"$scratch/$name.log"
    run=$(echo "$scratch/$name"/*/)
    "$deft" adapter export "$run" --format peft --out "$scratch/$name-peft" >>"$scratch/$name.log"
    "$deft" adapter import "$scratch/$name-peft" --model minilm-l6 --out "$scratch/$name.back" >>"$scratch/$name.log"
    cmp -s "$scratch/$name.back" "$run/adapters/global.safetensors" || [ "$name" = ada_lora ] ||
        { echo "$name: what was imported is not what was exported" >&2 && exit 1; }
    "$deft" adapter probe "$run" --model "$model" "${tokens[@]}" >"$scratch/$name.json"
}
check lora '{method: lora, rank: 8, alpha: 16}'
check rs_lora '{method: lora, rank: {blocks: [0, 0, 4, 8, 8, 16]}, alpha: 16, scaling: rank_root, targets: [query, value, attention_output, ffn_down]}'
check dora '{method: dora, rank: 8, alpha: 16, targets: [query, value, ffn_up]}'
check ada_lora '{method: ada_lora, rank: 8, target_rank: 4, warmup_steps: 1, final_step: 3}'
check prefix '{method: prefix, tokens: 5}'
check prompt '{method: prompt, tokens: 5}'
check ia3 '{method: ia3}'

TQDM_DISABLE=1 HF_HUB_OFFLINE=1 "$venv/bin/python" -W ignore - "$scratch" "$model" <<'PYTHON'
import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file

transformers.logging.set_verbosity_error()
scratch, model = Path(sys.argv[1]), sys.argv[2]
print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
failed = False
for answers in sorted(scratch.glob("*.json")):
    folder = scratch / f"{answers.stem}-peft"
    config = json.loads((folder / "adapter_config.json").read_text())
    virtual = config.get("num_virtual_tokens") or 0
    base = transformers.BertModel.from_pretrained(model, add_pooling_layer=False).eval()
    adapted = peft.PeftModel.from_pretrained(base, folder).eval()
    head = {name: tensor.double() for name, tensor in load_file(folder / "head.safetensors").items()}
    worst = 0.0
    for ours in json.loads(answers.read_text()):
        ids = torch.tensor([ours["tokens"]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if config["peft_type"] == "PREFIX_TUNING":
            # transformers would start the text's positions behind the prefix; deft starts them at 0.
            inputs["position_ids"] = torch.arange(ids.shape[1])[None] - virtual
        with torch.no_grad():
            hidden = adapted(**inputs).last_hidden_state[0]
        if config["peft_type"] == "PROMPT_TUNING":
            hidden = hidden[virtual:]
        mean = hidden.double().mean(0)
        logits = head["weight"] @ mean + head["bias"]
        for theirs, found in ((mean, ours["hidden_mean"]), (logits, ours["logits"])):
            worst = max(worst, (theirs - torch.tensor(found, dtype=torch.float64)).abs().max().item())
    failed |= not worst <= 1e-4
    print(f"{answers.stem:10} {config['peft_type']:14} largest difference {worst:.1e} {'ok' if worst <= 1e-4 else 'TOO LARGE'}")
sys.exit(failed)
PYTHON
TQDM_DISABLE=1 HF_HUB_OFFLINE=1 "$venv/bin/python" -W ignore scripts/peers/check_families.py "$deft" "$scratch"
