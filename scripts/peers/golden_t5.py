#!/usr/bin/env python3
"""Makes tests/golden/t5_full.json: all weights of two tiny T5s trained, in transformers and float64, gradients by autograd.

The weights are made-up numbers of tests/golden/README.md, so the case needs no checkpoint: parameters in alphabetical order have
t = 100, 101, ...; those of norms are 1 + fill. Every tensor has its gradient's norm, sum, first values and the product with
fill(t + 1000, 1), tables of relative positions all values.

usage: golden_t5.py OUT.json     (needs torch, transformers, numpy)
"""
import json
import sys

import numpy as np
import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5 import modeling_t5

torch.set_default_dtype(torch.float64)
# transformers takes softmax and the mean of squares in single precision whatever the model's.
torch.Tensor.float = lambda self: self
modeling_t5.T5LayerNorm.forward = lambda self, x: self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
SEED, AMP, NORM_AMP = 20260, 0.5, 0.3
LENGTHS, TARGET_LENGTHS = (1, 23, 9), (5, 2, 17)
MODELS = {
    "relu, tied": dict(feed_forward_proj="relu", tie_word_embeddings=True),
    "gated-gelu, own output": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}
SHAPE = dict(
    d_model=20, d_kv=6, num_heads=3, d_ff=28, num_layers=3, num_decoder_layers=2, vocab_size=41, relative_attention_num_buckets=8,
    relative_attention_max_distance=20, layer_norm_epsilon=1e-6, dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
)


def fill(t, n, amp):
    i, wrap = np.arange(1, n + 1, dtype=np.uint64), np.uint64
    with np.errstate(over="ignore"):
        z = wrap(SEED) + wrap(t) * wrap(0x632BE59BD9B4E019) + i * wrap(0x9E3779B97F4A7C15)
        z = (z ^ (z >> wrap(30))) * wrap(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> wrap(27))) * wrap(0x94D049BB133111EB)
    z ^= z >> wrap(31)
    return np.float32(amp) * ((z >> wrap(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0))


def tokens(t, lengths):
    """No padding (0) and no end (1) among them."""
    return [[2 + int((x + 1) * 1e6) % 39 for x in fill(t + s, length, 1.0)] for s, length in enumerate(lengths)]


def padded(rows, value):
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


r = lambda x: float(f"{x:.10g}")
source, target = tokens(1, LENGTHS), tokens(20, TARGET_LENGTHS)
result = {}
for name, kind in MODELS.items():
    model = T5ForConditionalGeneration(T5Config(**SHAPE, **kind)).double().eval()
    if not kind["tie_word_embeddings"]:
        # transformers 5 shares the matrix until a checkpoint brings another; the factor on its input is gone already.
        assert not model.config.scale_decoder_outputs
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.shared.weight))
    parameters = dict(sorted(model.named_parameters()))
    entries = []
    for t, (key, p) in enumerate(parameters.items(), 100):
        norm = "layer_norm" in key
        values = fill(t, p.numel(), NORM_AMP if norm else AMP)
        values = np.float32(1) + values if norm else values
        p.data = torch.tensor(values, dtype=torch.float64).reshape(p.shape)
    out = model(input_ids=padded(source, 0), attention_mask=padded([[1] * len(s) for s in source], 0), labels=padded(target, -100))
    out.loss.backward()
    for t, (key, p) in enumerate(parameters.items(), 100):
        g = p.grad.flatten()
        shown = g if "relative" in key else g[:16]
        made_up = torch.tensor(fill(t + 1000, g.numel(), 1.0), dtype=torch.float64)
        entries.append({
            "name": key, "t": t, "shape": list(p.shape), "grad_l2": r(g.norm().item()), "grad_sum": r(g.sum().item()),
            "grad_product": r((g @ made_up).item()), "grad_first16": [r(x) for x in shown.tolist()],
        })
    result[name] = {"gated": kind["feed_forward_proj"] != "relu", "tied": kind["tie_word_embeddings"], "loss": r(out.loss.item()), "tensors": entries}
    print(name, out.loss.item(), len(entries), "tensors")

case = {
    "format": "deft-golden/1", "set": "t5", "model": "tiny T5, made-up weights", "values": "float64, by scripts/peers/golden_t5.py",
    "torch": torch.__version__, "transformers": transformers.__version__,
    "constants": {"seed": SEED, "amp": AMP, "norm_amp": NORM_AMP}, "config": SHAPE, "input_ids": source, "labels": target, "full": result,
}
json.dump(case, open(sys.argv[1], "w"), separators=(",", ":"))
