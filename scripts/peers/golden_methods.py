#!/usr/bin/env python3
"""Makes tests/golden/minilm_methods.json and minilm_variants.json: methods of fine-tuning MiniLM in PyTorch float64.

The conventions are those of tests/golden/README.md. The forward pass is written out in plain torch operations and checked
against the bare model's loss in minilm_shared.json; gradients come from autograd, steps from torch.optim.AdamW.

usage: golden_methods.py MINILM_FOLDER MINILM_SHARED.json OUT.json METHOD...     (needs torch, safetensors, numpy)

The methods are adapter prefix ia3 selective for the first file, dora rslora ada_lora parallel_adapter layer_norm for the other.
"""
import json
import sys

import numpy as np
import torch
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
folder, shared_path, out_path, *methods = sys.argv[1:]
shared = json.load(open(shared_path))
constants = shared["constants"]
LAYERS, HIDDEN, HEADS, FFN = 6, 384, 12, 1536
weights = {k.removeprefix("bert."): v.double() for k, v in load_file(f"{folder}/model.safetensors").items() if v.is_floating_point()}


def fill(t, shape, amp):
    n = int(np.prod(shape))
    mask = (1 << 64) - 1
    values = np.empty(n, dtype=np.float32)
    for i in range(n):
        z = (constants["seed"] + t * 0x632BE59BD9B4E019 + (i + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        values[i] = np.float32(amp) * (np.float32(z >> 40) * np.float32(2.0**-23) - np.float32(1.0))
    return values.reshape(shape)


ids = torch.tensor(shared["input_ids"])
mask = torch.tensor(shared["attention_mask"]).bool()
labels = torch.tensor(shared["labels"])


def norm(x, name, p):
    return torch.nn.functional.layer_norm(x, (HIDDEN,), p(f"{name}.weight"), p(f"{name}.bias"), 1e-12)


def forward(method, trained):
    """Hidden states after the embedding and each block."""
    p = lambda name: trained.get(name, weights.get(name))
    linear = lambda x, name: torch.nn.functional.linear(x, p(f"{name}.weight"), p(f"{name}.bias"))
    split = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    batch, length = ids.shape
    x = p("embeddings.word_embeddings.weight")[ids] + p("embeddings.position_embeddings.weight")[:length]
    x = norm(x + p("embeddings.token_type_embeddings.weight")[0], "embeddings.LayerNorm", p)
    states = [x]

    def low_rank(x, name):
        y = linear(x, name)
        if f"{name}.lora_A" not in trained:
            return y
        a, b, r = p(f"{name}.lora_A"), p(f"{name}.lora_B"), constants["lora_r"]
        scale = constants["lora_alpha"] / (r**0.5 if method == "rslora" else r)
        term = x @ a.T
        if method == "ada_lora":
            term = term * p(f"{name}.lora_E").flatten()
        term = scale * term @ b.T
        if method != "dora":
            return y + term
        # The norm counts as a constant (Liu et al. 2024, section 4.3).
        w = p(f"{name}.weight")
        size = (w + scale * b @ a).detach().norm(dim=1)
        return p(f"{name}.lora_magnitude_vector") / size * (x @ w.T + term) + p(f"{name}.bias")

    def adapter(y, name):
        if method != "adapter":
            return y
        return y + linear(torch.nn.functional.gelu(linear(y, f"{name}.down")), f"{name}.up")

    for i in range(LAYERS):
        b = f"encoder.layer.{i}"
        q, k, v = (low_rank(x, f"{b}.attention.self.{part}") for part in ("query", "key", "value"))
        if method == "ia3":
            k, v = k * p(f"{b}.ia3_k"), v * p(f"{b}.ia3_v")
        seen = mask
        if method == "prefix":
            front = lambda t, name: torch.cat([p(name).expand(batch, -1, -1), t], 1)
            k, v = front(k, f"{b}.prefix_k"), front(v, f"{b}.prefix_v")
            seen = torch.cat([torch.ones(batch, k.shape[1] - length, dtype=torch.bool), mask], 1)
        scores = split(q) @ split(k).transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5
        scores = scores.masked_fill(~seen[:, None, None, :], float("-inf"))
        context = (scores.softmax(-1) @ split(v)).transpose(1, 2).flatten(2)
        y = adapter(linear(context, f"{b}.attention.output.dense"), f"{b}.attention.output.adapter")
        x = norm(x + y, f"{b}.attention.output.LayerNorm", p)
        inner = torch.nn.functional.gelu(linear(x, f"{b}.intermediate.dense"))
        if method == "ia3":
            inner = inner * p(f"{b}.ia3_ff")
        y = adapter(linear(inner, f"{b}.output.dense"), f"{b}.output.adapter")
        if method == "parallel_adapter":
            beside = f"{b}.parallel_adapter"
            y = y + linear(torch.nn.functional.gelu(linear(x, f"{beside}.down")), f"{beside}.up")
        x = norm(x + y, f"{b}.output.LayerNorm", p)
        states.append(x)
    return states


def pooled(states):
    m = mask[..., None].double()
    return (states[-1] * m).sum(1) / m.sum(1)


def answer(method, trained):
    states = forward(method, trained)
    logits = pooled(states) @ trained["head.weight"].T + trained["head.bias"]
    return states, logits, torch.nn.functional.cross_entropy(logits, labels)


LOW_RANK = ("dora", "rslora", "ada_lora")
OWN = ("selective", "layer_norm")


def amplitude(method, name):
    """Of made-up numbers, and whether they lie around 1."""
    last = name.split(".")[-1]
    if last in ("lora_A", "lora_B"):
        return constants[f"lora_amp_{last[-1].lower()}"], False
    if method in LOW_RANK or method == "ia3":
        return constants["ia3_amp"], True
    return constants[f"{method.removeprefix('parallel_')}_amp"], False


def shapes(method):
    """Names and shapes of what a method adds or trains, in the README's order."""
    m, t, r = constants["bottleneck"], constants["prefix_tokens"], constants["lora_r"]
    if method == "layer_norm":
        yield from ((f"embeddings.LayerNorm.{n}", (HIDDEN,)) for n in ("weight", "bias"))
    for i in range(LAYERS):
        b = f"encoder.layer.{i}"
        if method == "adapter":
            for place in ("attention.output.adapter", "output.adapter"):
                yield from ((f"{b}.{place}.{n}", s) for n, s in (("down.weight", (m, HIDDEN)), ("down.bias", (m,)), ("up.weight", (HIDDEN, m)), ("up.bias", (HIDDEN,))))
        elif method == "prefix":
            yield from ((f"{b}.{n}", (t, HIDDEN)) for n in ("prefix_k", "prefix_v"))
        elif method == "ia3":
            yield from ((f"{b}.{n}", (s,)) for n, s in (("ia3_k", HIDDEN), ("ia3_v", HIDDEN), ("ia3_ff", FFN)))
        elif method in LOW_RANK:
            own = {"dora": [("lora_magnitude_vector", (HIDDEN,))], "ada_lora": [("lora_E", (r, 1))]}.get(method, [])
            for part in ("query", "value"):
                yield from ((f"{b}.attention.self.{part}.{n}", s) for n, s in [("lora_A", (r, HIDDEN)), ("lora_B", (HIDDEN, r))] + own)
        elif method == "parallel_adapter":
            yield from ((f"{b}.parallel_adapter.{n}", s) for n, s in (("down.weight", (m, HIDDEN)), ("down.bias", (m,)), ("up.weight", (HIDDEN, m)), ("up.bias", (HIDDEN,))))
        elif method == "layer_norm":
            yield from ((f"{b}.{place}.LayerNorm.{n}", (HIDDEN,)) for place in ("attention.output", "output") for n in ("weight", "bias"))
        elif i >= 4:
            for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"):
                yield from ((f"{b}.{part}.{n}", tuple(weights[f"{b}.{part}.{n}"].shape)) for n in ("weight", "bias"))


head = {"head.weight": fill(1, (2, HIDDEN), constants["head_amp"]), "head.bias": fill(2, (2,), constants["head_amp"])}
fresh = lambda values: {k: torch.tensor(np.asarray(v), dtype=torch.float64).requires_grad_() for k, v in values.items()}
_, _, bare = answer("none", fresh(head))
assert abs(bare.item() - shared["base"]["loss"]) < 1e-8, (bare.item(), shared["base"]["loss"])

r = lambda x: float(f"{x:.9g}")
first = lambda v: [r(x) for x in v.detach().flatten()[:16].tolist()]
result = {}
for method in methods:
    lr, values, numbered = (1e-4 if method == "selective" else 1e-3), {}, {}
    for t, (name, shape) in enumerate(shapes(method), 100):
        if method in OWN:
            values[name], numbered[name] = weights[name], None
        else:
            amp, around_one = amplitude(method, name)
            made_up = fill(t, shape, amp)
            values[name], numbered[name] = (np.float32(1) + made_up if around_one else made_up), t
    values |= head
    numbered |= {"head.weight": 1, "head.bias": 2}
    trained = fresh(values)
    states, logits, loss = answer(method, trained)
    loss.backward()
    entry = {
        "lr": lr,
        "trainable_params_without_head": sum(int(np.prod(s)) for _, s in shapes(method)),
        "logits_f64": [[r(x) for x in row] for row in logits.tolist()],
        "hidden_l2_real_tokens": [r(s[mask].norm().item()) for s in states],
        "pooled_first16": [first(row) for row in pooled(states)],
        "loss_before_f64": r(loss.item()),
        "tensors": [
            {"name": n, "t": numbered[n], "shape": list(p.shape), "init_first16": first(p), "grad_l2": r(p.grad.norm().item()), "grad_sum": r(p.grad.sum().item()), "grad_first16": first(p.grad)}
            for n, p in trained.items()
        ],
    }
    for run in ("head_frozen", "head_trained"):
        trained, curve = fresh(values), []
        parameters = [p for n, p in trained.items() if run == "head_trained" or not n.startswith("head")]
        optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        for step in range(21):
            optimizer.zero_grad()
            loss = answer(method, trained)[2]
            curve.append(r(loss.item()))
            if step == 20:
                break
            loss.backward()
            optimizer.step()
            if step == 0:
                for tensor in entry["tensors"]:
                    if tensor["name"].startswith("head") == (run == "head_trained"):
                        tensor["after_step1_first16"] = first(trained[tensor["name"]])
        entry[run] = {"curve_f64": curve, "loss_after_1": curve[1], "loss_after_20": curve[20]}
    result[method] = entry
    print(method, entry["loss_before_f64"], entry["head_trained"]["loss_after_20"], flush=True)

kept = ("format", "model", "model_sha256", "constants", "sentences", "input_ids", "attention_mask", "labels", "head")
case = {k: shared[k] for k in kept} | {"set": out_path.split("_")[-1].removesuffix(".json"), "values": "float64, by scripts/peers/golden_methods.py", "torch": torch.__version__, "methods": result}
json.dump(case, open(out_path, "w"), separators=(",", ":"))
