#!/usr/bin/env python3
"""Makes tests/golden/families_full.json: tiny models of RoBERTa, ViT, GPT-2 and Llama in transformers and float64, by autograd.

The weights are made-up numbers of tests/golden/README.md, so no case needs a checkpoint. Tensors have the names of a checkpoint and in
their alphabetical order t = 100, 101, ...; weights of norms are 1 + fill. Each model is trained whole, and by LoRA on query and value.

usage: golden_families.py OUT.json     (needs torch, transformers, numpy)
"""
import json
import re
import sys

import numpy as np
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers import RobertaConfig, RobertaModel, ViTConfig, ViTForImageClassification

torch.set_default_dtype(torch.float64)
# transformers takes rotations, softmax, squares and losses in single precision whatever the model's.
torch.Tensor.float = lambda self: self
torch.float = torch.float32 = torch.float64
CONSTANTS = dict(
    seed=20261, amp=0.5, norm_amp=0.3, head_amp=0.5, lora_amp_a=0.4, lora_amp_b=0.4, lora_r=2, lora_alpha=6,
)
LENGTHS, CLASSES, VOCABULARY = (23, 2, 9), 3, 41
# Wavelengths of a head of 12 and theta 100 are 6.3, 13.5, 29, 63, 135 and 292: below 10 kept, above 40 divided, between blended.
LLAMA3 = dict(
    rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=40,
)
ENCODER = dict(
    hidden_size=20, num_hidden_layers=2, num_attention_heads=4, intermediate_size=28, hidden_act="gelu", hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
DECODER = dict(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0)
LLAMA = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=28, rms_norm_eps=1e-5, **DECODER)
MODELS = {
    "roberta": (RobertaConfig, dict(
        vocab_size=VOCABULARY, type_vocab_size=1, max_position_embeddings=28, pad_token_id=1, layer_norm_eps=1e-5, **ENCODER,
    )),
    "vit, 9 pixels in 2 channels": (ViTConfig, dict(image_size=9, patch_size=3, num_channels=2, layer_norm_eps=1e-12, **ENCODER)),
    "vit, 15 pixels in 1 channel": (ViTConfig, dict(image_size=15, patch_size=5, num_channels=1, layer_norm_eps=1e-6, **ENCODER)),
    "gpt2": (GPT2Config, dict(
        n_embd=20, n_layer=2, n_head=4, n_positions=25, layer_norm_epsilon=1e-5, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, **DECODER,
    )),
    "llama, grouped queries, llama3 rope": (LlamaConfig, dict(
        num_key_value_heads=2, rope_parameters=LLAMA3, tie_word_embeddings=True, **LLAMA,
    )),
    "llama, own output": (LlamaConfig, dict(
        num_key_value_heads=4, head_dim=10, rope_parameters=dict(rope_type="default", rope_theta=500.0), tie_word_embeddings=False, **LLAMA,
    )),
}
# What transformers 5 calls the parts of a ViT, and what they are called in checkpoints.
VIT = {
    "layers.": "encoder.layer.", "attention.q_proj": "attention.attention.query", "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value", "attention.o_proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense", "classifier": "head",
}


def fill(t, n, amp):
    i, wrap = np.arange(1, n + 1, dtype=np.uint64), np.uint64
    with np.errstate(over="ignore"):
        z = wrap(CONSTANTS["seed"]) + wrap(t) * wrap(0x632BE59BD9B4E019) + i * wrap(0x9E3779B97F4A7C15)
        z = (z ^ (z >> wrap(30))) * wrap(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> wrap(27))) * wrap(0x94D049BB133111EB)
    z ^= z >> wrap(31)
    return np.float32(amp) * ((z >> wrap(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0))


def tensor(values, shape):
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def whole(t, n, below):
    """Whole numbers from 0."""
    return [int((float(x) + 1) * 1e6) % below for x in fill(t, n, 1.0)]


def padded(rows, value):
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


class Mean(torch.nn.Module):
    """A linear head on the mean of RoBERTa's last hidden states."""

    def __init__(self, config):
        super().__init__()
        self.encoder_model = RobertaModel(config, add_pooling_layer=False)
        self.head = torch.nn.Linear(config.hidden_size, CLASSES)

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None]
        return self.head((hidden * mask).sum(1) / mask.sum(1))


def checkpoint_name(name, family):
    for old, new in VIT.items() if family == "vit" else ():
        name = name.replace(old, new)
    return re.sub(r"^(vit|transformer|encoder_model)\.", "", name)


def build(config):
    config._attn_implementation = "eager"
    if config.model_type == "roberta":
        return Mean(config)
    if config.model_type == "vit":
        config.num_labels = CLASSES
        return ViTForImageClassification(config)
    return (GPT2LMHeadModel if config.model_type == "gpt2" else LlamaForCausalLM)(config)


def data(config):
    labels = [1, 0, 2]
    if config.model_type == "vit":
        n = config.num_channels * config.image_size**2
        return {"images": [whole(40 + s, n, 256) for s in range(3)], "labels": labels}
    # None is RoBERTa's padding, 1, which has no position of its own.
    texts = [[2 + x for x in whole(20 + s, length, VOCABULARY - 2)] for s, length in enumerate(LENGTHS)]
    return {"input_ids": texts} | ({"labels": labels} if config.model_type == "roberta" else {})


def answer(model, config, given):
    """Loss, and logits of the classes or of the token after each text."""
    if config.model_type == "vit":
        pixels = (np.array(given["images"], dtype=np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
        side = config.image_size
        out = model(pixel_values=tensor(pixels, (-1, config.num_channels, side, side)), labels=torch.tensor(given["labels"]))
        return out.loss, out.logits
    texts = given["input_ids"]
    inputs = {"input_ids": padded(texts, 1), "attention_mask": padded([[1] * len(s) for s in texts], 0)}
    if config.model_type == "roberta":
        logits = model(**inputs)
        return torch.nn.functional.cross_entropy(logits, torch.tensor(given["labels"])), logits
    out = model(**inputs, labels=padded(texts, -100))
    return out.loss, torch.stack([row[len(text) - 1] for row, text in zip(out.logits, texts)])


def targets(name, module):
    """Query and value in the output of a layer: name, first column, outputs."""
    if name.endswith("c_attn"):
        width = module.nx
        return [(name.replace("c_attn", "query"), 0, width), (name.replace("c_attn", "value"), 2 * width, width)]
    if name.endswith((".query", ".value", ".q_proj", ".v_proj")):
        return [(name, 0, module.out_features)]
    return []


def add_lora(model, family):
    """Products added where the layers answer; returns their matrices with t, in the order A, B, query before value."""
    matrices, scale, rank = {}, CONSTANTS["lora_alpha"] / CONSTANTS["lora_r"], CONSTANTS["lora_r"]

    def matrix(name, shape, amp):
        t = 500 + len(matrices)
        matrices[name] = (t, tensor(fill(t, np.prod(shape), CONSTANTS[amp]), shape).requires_grad_())
        return matrices[name][1]

    for name, module in model.named_modules():
        for target, column, outputs in targets(checkpoint_name(name, family), module):
            inputs = module.nx if name.endswith("c_attn") else module.in_features
            down = matrix(f"{target}.lora_A", (rank, inputs), "lora_amp_a")
            up = matrix(f"{target}.lora_B", (outputs, rank), "lora_amp_b")

            def added(module, given, output, column=column, outputs=outputs, down=down, up=up):
                behind = output.shape[-1] - column - outputs
                return output + torch.nn.functional.pad(scale * (given[0] @ down.T) @ up.T, (column, behind))

            module.register_forward_hook(added)
    return matrices


def of_gradient(name, t, p):
    g, r = p.grad.flatten(), lambda x: float(f"{x:.10g}")
    return {
        "name": name, "t": t, "shape": list(p.shape), "grad_l2": r(g.norm().item()), "grad_sum": r(g.sum().item()),
        "grad_product": r((g @ tensor(fill(t + 1000, g.numel(), 1.0), -1)).item()), "grad_first16": [r(x) for x in g[:16].tolist()],
    }


def is_norm(name):
    return bool(re.search(r"(norm|LayerNorm|ln_\w+)\.weight$", name))


def case(kind, given_config):
    config = kind(**given_config)
    model, given = build(config).double().eval(), data(config)
    family = config.model_type
    weights = dict(sorted((checkpoint_name(name, family), p) for name, p in model.named_parameters()))
    numbers = {"head.weight": 1, "head.bias": 2}
    numbers |= {name: t for t, name in enumerate((n for n in weights if n not in numbers), 100)}
    for name, p in weights.items():
        amp = "norm_amp" if is_norm(name) else "head_amp" if name.startswith("head.") else "amp"
        values = fill(numbers[name], p.numel(), CONSTANTS[amp])
        p.data = tensor(np.float32(1) + values if is_norm(name) else values, p.shape)
    methods = {}
    for method in ("full", "lora"):
        matrices = add_lora(model, family) if method == "lora" else {}
        model.zero_grad()
        loss, logits = answer(model, config, given)
        loss.backward()
        of_weights = [of_gradient(name, numbers[name], p) | ({"norm": True} if is_norm(name) else {}) for name, p in weights.items()]
        shown = [entry for entry in of_weights if method == "full" or entry["name"].startswith("head.")]
        shown += [of_gradient(name, t, p) for name, (t, p) in matrices.items()]
        rows = [[float(f"{x:.10g}") for x in row] for row in logits.tolist()]
        methods[method] = {"loss": float(f"{loss.item():.10g}"), "logits": rows, "tensors": shown}
        print(family, method, loss.item(), len(shown), "tensors")
    return {"config": {"model_type": family, **given_config}, **given, "methods": methods}


result = {
    "format": "deft-golden/1", "set": "families", "model": "tiny families, made-up weights",
    "values": "float64, by scripts/peers/golden_families.py", "torch": torch.__version__, "transformers": transformers.__version__,
    "constants": CONSTANTS, "models": {name: case(*of) for name, of in MODELS.items()},
}
json.dump(result, open(sys.argv[1], "w"), separators=(",", ":"))
