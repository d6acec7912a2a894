"""The shapes of examples/gpu_bench in torch, for comparison: cuBLAS, scaled_dot_product_attention, peft's LoRA in fp16.

gpu_torch.py --out FILE [--device cuda] [--tokens 4096] [--blocks 4] [--runs 5] [--models minilm ...]
Writes the columns of `gpu_bench`. `--device cpu` runs small cases anywhere; the figures then mean nothing.
"""

import argparse
import csv
import time

# name, kind, hidden, heads, head_dim, ffn, gated, vocabulary: as in src/fomo/presets.csv.
MODELS = {
    "minilm": ("minilm-l6", "bert", 384, 12, 32, 1536, False, 30522),
    "bert-large": ("bert-large", "bert", 1024, 16, 64, 4096, False, 30522),
    "llama7b": ("llama2-7b", "llama", 4096, 32, 128, 11008, True, 32000),
    "t5-11b": ("t5-11b", "t5", 1024, 128, 128, 65536, False, 32128),
}
COLUMNS = ["what", "model", "shape", "seconds", "tflop_per_second", "gbyte_per_second", "tokens_per_second"]


def fastest(torch, device, runs, body):
    """Seconds of the fastest of `runs` runs, after one that is not counted."""
    best = float("inf")
    for i in range(runs + 1):
        start = time.perf_counter()
        body()
        if device == "cuda":
            torch.cuda.synchronize()
        if i:
            best = min(best, time.perf_counter() - start)
    return best


def row(what, model, shape, seconds, flop, tokens, size=0):
    shape = "x".join(map(str, shape))
    return [what, model, shape, seconds, flop / seconds / 1e12, size / seconds / 1e9, tokens / seconds]


def ceilings(torch, args):
    """A large square product and a large copy, as examples/gpu_bench has them."""
    dtype, side = torch.float16 if args.device == "cuda" else torch.float32, 2 * args.tokens
    x, w = (torch.randn(side, side, device=args.device, dtype=dtype) for _ in range(2))
    with torch.no_grad():
        products = lambda: [torch.nn.functional.linear(x, w) for _ in range(8)]
        seconds = fastest(torch, args.device, args.runs, products) / 8
    yield row("product", "ceiling", (side, side, side), seconds, 2.0 * side**3, side, 6 * side * side)
    source = torch.zeros(side << 15, device=args.device, dtype=dtype)
    seconds = fastest(torch, args.device, args.runs, lambda: source.clone())
    yield row("copy", "ceiling", (side << 15,), seconds, 0.0, 0, 4 * (side << 15))


def kernels(torch, args, key):
    name, kind, hidden, heads, dim, ffn, gated, _ = MODELS[key]
    dtype = torch.float16 if args.device == "cuda" else torch.float32
    new = lambda *shape: torch.randn(*shape, device=args.device, dtype=dtype) * 0.1
    q, up, rank = heads * dim, (2 if gated else 1) * ffn, 8
    for inputs, outputs in [(hidden, 3 * q), (q, hidden), (hidden, up), (ffn, hidden)]:
        x, w, b = new(args.tokens, inputs), new(outputs, inputs), new(outputs)
        down, out = new(rank, inputs), new(outputs, rank)
        linear = torch.nn.functional.linear
        plain = lambda: [linear(x, w, b) for _ in range(8)]
        lora = lambda: [linear(x, w, b) + linear(linear(x, down), out) for _ in range(8)]
        shape, flop = (args.tokens, inputs, outputs), 2.0 * args.tokens * inputs * outputs
        extra, size = 2.0 * args.tokens * rank * (inputs + outputs), 2 * (inputs * outputs + args.tokens * (inputs + outputs))
        with torch.no_grad():
            yield row("product", name, shape, fastest(torch, args.device, args.runs, plain) / 8, flop, args.tokens, size)
            seconds = fastest(torch, args.device, args.runs, lora) / 8
        yield row(f"product with LoRA of rank {rank}", name, shape, seconds, flop + extra, args.tokens, size)
    length = min(args.tokens, 512)
    sequences, causal = args.tokens // length, kind == "llama"
    q, k, v = (new(sequences, heads, length, dim) for _ in range(3))
    attend = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    with torch.no_grad():
        seconds = fastest(torch, args.device, args.runs, attend)
    flop = 4.0 * (0.5 if causal else 1.0) * sequences * length * length * heads * dim
    yield row("attention", name, (sequences, length, heads, dim), seconds, flop, args.tokens, 8 * args.tokens * heads * dim)


def training(torch, args, key):
    import peft
    import transformers

    name, kind, hidden, heads, dim, ffn, gated, vocabulary = MODELS[key]
    length = min(args.tokens, 128)
    count = -(-args.tokens // length)
    tokens = torch.randint(0, vocabulary, (count, length), device=args.device)
    if kind == "bert":
        blocks = min(args.blocks, 6 if key == "minilm" else 24)
        config = transformers.BertConfig(vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=blocks,
                                         num_attention_heads=heads, intermediate_size=ffn, num_labels=2)
        model, targets = transformers.BertForSequenceClassification(config), ["query", "value"]
        labels = tokens[:, 0] % 2
    elif kind == "llama":
        blocks = min(args.blocks, 32)
        config = transformers.LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=blocks,
                                          num_attention_heads=heads, intermediate_size=ffn)
        model, targets, labels = transformers.LlamaForCausalLM(config), ["q_proj", "v_proj"], tokens
    else:
        blocks = 2 * min(args.blocks, 24)
        config = transformers.T5Config(vocab_size=vocabulary, d_model=hidden, d_kv=dim, num_heads=heads, d_ff=ffn,
                                       num_layers=blocks // 2, num_decoder_layers=blocks // 2, dropout_rate=0.0)
        model, targets, labels = transformers.T5ForConditionalGeneration(config), ["q", "v"], tokens
    lora = peft.LoraConfig(r=8, lora_alpha=16, target_modules=targets)
    model = peft.get_peft_model(model, lora).to(args.device)
    if args.device == "cuda":
        model = model.half()
    # Of the blocks, as gpu_bench counts.
    parameters = sum(p.numel() for n, p in model.named_parameters() if "layer" in n or "block" in n)

    total = count * length
    for how, trained in [("eager", lambda: model), ("compiled", lambda: torch.compile(model))]:
        if how == "compiled" and key != "minilm":
            continue  # takes a minute for each of the others
        try:
            trained = trained()

            def step():
                model.zero_grad(set_to_none=True)
                trained(input_ids=tokens, labels=labels).loss.backward()

            seconds = fastest(torch, args.device, args.runs, step)
        except Exception as why:  # a compiler that is missing, say
            print(f"training, {how}, {name}: {why}")
            continue
        yield row(f"training, {how}", name, (blocks, 1, total), seconds, 4.0 * parameters * total, total)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: torch finds no GPU")
    with open(args.out, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(ceilings(torch, args))
        for key in args.models:
            for part in (kernels, training):
                for line in part(torch, args, key):
                    table.writerow(line)
                    file.flush()
                if args.device == "cuda":
                    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
