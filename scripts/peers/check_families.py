#!/usr/bin/env python3
"""Adapters of Hugging Face's peft on small random models of every family: what transformers + peft answer beside `deft adapter probe`.

    check_families.py DEFT SCRATCH

DEFT is the program, SCRATCH a folder for the models. Each adapter is made and saved by peft, asked in both programs, imported and
exported by deft, and asked again in peft. Logits, or hidden states where there are none, may differ by 1e-4 of the largest, and
what comes back from deft must answer as it did. Needs torch, transformers and peft; `check_peft_roundtrip.sh` calls it.
"""

import json
import subprocess
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
# Without 1, which is RoBERTa's padding: transformers gives it no position of its own.
TEXTS = [[5, 9, 23, 7, 4], [8, 2], [60, 61, 62, 63, 64, 65, 66, 3, 2, 6] * 4]
WRITTEN = [[4, 9], [], [11, 12, 13]]
IMAGES = [[(37 * i + 11 * k) % 256 for i in range(3 * 12 * 12)] for k in range(2)]


def t5(gated, tied):
    config = transformers.T5Config(
        vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu" if gated else "relu", tie_word_embeddings=tied,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )
    return transformers.T5ForConditionalGeneration(config)


def gpt2():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=3, n_head=4))


def llama():
    config = transformers.LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    )
    return transformers.LlamaForCausalLM(config)


def roberta():
    config = transformers.RobertaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=66, type_vocab_size=1, pad_token_id=1,
    )
    return transformers.RobertaModel(config, add_pooling_layer=False)


def vit():
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=12, patch_size=4, num_channels=3,
    )
    return transformers.ViTModel(config, add_pooling_layer=False)


def cases():
    """Name, model, a second output matrix or not, adapters."""
    lora = lambda targets, task=None, **more: peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type=task, **more)
    for gated in (False, True):
        inner = ["wi_0", "wi_1", "wo"] if gated else ["wi", "wo"]
        for tied in (True, False):
            task = "SEQ_2_SEQ_LM"
            yield f"t5 {'gated' if gated else 'relu'} {'tied' if tied else 'untied'}", t5(gated, tied), not tied, {
                "lora": lora(["q", "v"], task),
                "lora everywhere": lora(["q", "k", "v", "o", *inner], task),
                "ia3": peft.IA3Config(task_type=task),
                "prompt": peft.PromptTuningConfig(num_virtual_tokens=4, task_type=task, num_transformer_submodules=1),
            }
    yield "gpt2", gpt2(), False, {
        "lora": lora(["c_attn"], "CAUSAL_LM", fan_in_fan_out=True),
        "dora": lora(["c_attn", "c_fc"], "CAUSAL_LM", fan_in_fan_out=True, use_dora=True),
    }
    yield "llama", llama(), False, {
        "lora": lora(["q_proj", "v_proj", "gate_proj"], "CAUSAL_LM"),
        "rs_lora": lora(["q_proj", "o_proj"], "CAUSAL_LM", use_rslora=True),
        "dora": lora(["k_proj", "down_proj"], "CAUSAL_LM", use_dora=True),
        "ia3": peft.IA3Config(task_type="CAUSAL_LM"),
    }
    yield "roberta", roberta(), False, {"lora": lora(["query", "value"]), "dora": lora(["key"], use_dora=True)}
    yield "vit", vit(), False, {"lora": lora(["q_proj", "v_proj"]), "dora": lora(["k_proj"], use_dora=True)}


def enlarge(model, only_added):
    """Random numbers large enough that nothing hides behind a fresh start's zeros."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            added = any(part in name for part in ("lora_", "ia3", "prompt"))
            if added and "magnitude" not in name:
                parameter.normal_(1.0 if "ia3" in name else 0.0, 0.2)
            elif added:
                parameter.mul_(1.3)
            elif not only_added and parameter.dim() > 1:
                parameter.mul_(2.0)


def theirs(model, family):
    """One vector a query, in double precision."""
    model, answers = model.double(), []
    with torch.no_grad():
        if family == "vit":
            for image in IMAGES:
                pixels = (torch.tensor(image, dtype=torch.float64).reshape(1, 3, 12, 12) / 255 - 0.5) / 0.5
                answers.append(model(pixel_values=pixels).last_hidden_state[0].mean(0))
            return answers
        for text, written in zip(TEXTS, WRITTEN):
            inputs = {"input_ids": torch.tensor([text]), "attention_mask": torch.ones(1, len(text), dtype=torch.long)}
            if family == "t5":
                inputs["decoder_input_ids"] = torch.tensor([[0, *written]])
            if family == "roberta":
                answers.append(model(**inputs).last_hidden_state[0].mean(0))
            else:
                answers.append(model(**inputs).logits[0, -1])
    return answers


def ours(deft, adapter, base, family, scratch):
    command = [deft, "adapter", "probe", str(adapter), "--model", str(base)]
    if family == "vit":
        images = scratch / "images.csv"
        images.write_text("\n".join(",".join(map(str, image)) for image in IMAGES))
        command += ["--images", str(images)]
    else:
        for text, written in zip(TEXTS, WRITTEN):
            command += ["--tokens", ",".join(map(str, text))]
            if family == "t5":
                command += ["--written", ",".join(map(str, written)) or "none"]
    answers = json.loads(said(command))
    return [torch.tensor(a["logits"] or a["hidden_mean"], dtype=torch.float64) for a in answers]


def said(command):
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(f"{' '.join(command)}\n{finished.stderr}")
    return finished.stdout


def apart(a, b):
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True)) / max(y.abs().max().item() for y in b)


def main():
    deft, scratch = sys.argv[1], Path(sys.argv[2])
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    failed = False
    for name, model, own_output, adapters in cases():
        family, base = name.split()[0], scratch / name.replace(" ", "-")
        enlarge(model, only_added=False)
        model.save_pretrained(base)
        if own_output:
            tensors = load_file(base / "model.safetensors")
            tensors["lm_head.weight"] = torch.randn(97, 32)
            save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
        load = lambda: type(model).from_pretrained(base, **({} if family not in ("vit", "roberta") else {"add_pooling_layer": False})).eval()
        for method, config in adapters.items():
            folder = scratch / f"{base.name}-{method.replace(' ', '-')}"
            made = peft.get_peft_model(load(), config)
            enlarge(made, only_added=True)
            made.save_pretrained(folder)
            expected = theirs(peft.PeftModel.from_pretrained(load(), folder).eval(), family)
            away = apart(ours(deft, folder, base, family, scratch), expected)
            own, back = f"{folder}.safetensors", f"{folder}-back"
            for step in (["import", folder, "--model", base, "--out", own], ["export", own, "--out", back, "--base-model", base]):
                said([deft, "adapter", *map(str, step)])
            returned = apart(theirs(peft.PeftModel.from_pretrained(load(), back).eval(), family), expected)
            fits = away <= TOLERANCE and returned <= TOLERANCE
            failed |= not fits
            print(f"{name:17} {method:15} deft {away:.1e}, exported back {returned:.1e} {'ok' if fits else 'TOO LARGE'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
