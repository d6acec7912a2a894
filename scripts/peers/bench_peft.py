#!/usr/bin/env python3
"""Times LoRA fine-tuning of MiniLM on the CPU in torch + transformers + peft: the other side of `benches/learning.rs`.

Both sides do the same jobs on the same sentences in the same order, and print one JSON object a line with the same
`workload` names, so that `scripts/bench_peers.sh` can put them side by side. Needs torch, transformers, peft and a
folder with config.json, model.safetensors (f32) and tokenizer.json of all-MiniLM-L6-v2.

Workloads, all with LoRA rank 8, alpha 16 on query and value, a linear head on the mean of the token vectors, AdamW:
  step_32x64, step_8x128  one training step on equal sequences of random tokens: nothing to gain from packing
  epoch                   the training half of the movie set once, batches of 32 in a fixed shuffled order, padded to
                          the longest text of each batch, as transformers' DataCollatorWithPadding does
  round                   a federated round: 64 devices x 2 steps x 8 texts, each device from the same global state.
                          The devices share one model in memory: load the state, train, take the state, average.
"""

import argparse
import csv
import gzip
import json
import os
import resource
import statistics
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import peft
import tokenizers
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
RANK, ALPHA, LEARNING_RATE, HEAD_LEARNING_RATE = 8, 16, 1e-3, 1e-2
BATCH, MAX_TOKENS = 32, 128
DEVICES, LOCAL_STEPS, LOCAL_BATCH = 64, 2, 8


class Classifier(torch.nn.Module):
    """The adapted encoder, the mean over a text's tokens, a linear head."""

    def __init__(self, folder):
        super().__init__()
        encoder = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
        config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=["query", "value"])
        self.encoder = peft.get_peft_model(encoder, config)
        self.head = torch.nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, ids, mask):
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[..., None].to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))

    def optimiser(self):
        adapter = [p for p in self.encoder.parameters() if p.requires_grad]
        groups = [{"params": adapter, "lr": LEARNING_RATE}, {"params": self.head.parameters(), "lr": HEAD_LEARNING_RATE}]
        return torch.optim.AdamW(groups)

    def state(self):
        """A copy of what a device sends up."""
        adapter = peft.get_peft_model_state_dict(self.encoder)
        both = {**{"encoder." + k: v for k, v in adapter.items()}, **{"head." + k: v for k, v in self.head.state_dict().items()}}
        return {k: v.detach().clone() for k, v in both.items()}

    def load(self, state):
        part = lambda prefix: {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        peft.set_peft_model_state_dict(self.encoder, part("encoder."))
        self.head.load_state_dict(part("head."))


def train_step(model, optimiser, ids, mask, labels):
    optimiser.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(ids, mask), labels)
    loss.backward()
    optimiser.step()
    return loss.item()


def movie_texts(table, folder):
    """Token ids and labels of the training half."""
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if r["split"] == "train"]
    encoded = tokenizer.encode_batch([r["text"] for r in rows])
    return [(e.ids, int(r["label"])) for e, r in zip(encoded, rows)]


def shuffled(count):
    """Indices in the order of their SplitMix64 hashes (Steele et al. 2014): the same order as in the Rust benchmark."""
    mask = (1 << 64) - 1

    def key(index):
        z = (index + 1) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return z ^ z >> 31

    return sorted(range(count), key=key)


def padded(texts):
    longest = max(len(ids) for ids, _ in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (tokens, _) in enumerate(texts):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask, torch.tensor([label for _, label in texts])


def batches(texts, size):
    order = shuffled(len(texts))
    return [[texts[i] for i in order[at : at + size]] for at in range(0, len(order) - size + 1, size)]


class Job:
    """One repetition of a workload: `run` returns the mean loss; `tokens` are real ones, `padded_tokens` computed ones."""

    def __init__(self, run, tokens, padded_tokens):
        self.run, self.tokens, self.padded_tokens = run, tokens, padded_tokens


def step_job(model, sequences, length):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1000, 20000, (sequences, length), generator=generator)
    labels = torch.arange(sequences) % 2
    optimiser = model.optimiser()
    return Job(lambda: train_step(model, optimiser, ids, torch.ones_like(ids), labels), ids.numel(), ids.numel())


def epoch_job(model, texts, every):
    chosen = batches(texts, BATCH)[::every]
    initial = model.state()

    def run():
        model.load(initial)
        optimiser = model.optimiser()
        return statistics.fmean(train_step(model, optimiser, *padded(batch)) for batch in chosen)

    return Job(run, *token_counts(chosen))


def round_job(model, texts):
    chosen = batches(texts, LOCAL_BATCH)[: DEVICES * LOCAL_STEPS]
    initial = model.state()

    def run():
        losses, updates = [], []
        for device in range(DEVICES):
            model.load(initial)
            optimiser = model.optimiser()
            for batch in chosen[device * LOCAL_STEPS : (device + 1) * LOCAL_STEPS]:
                losses.append(train_step(model, optimiser, *padded(batch)))
            updates.append(model.state())
        model.load({k: torch.stack([u[k] for u in updates]).mean(0) for k in initial})
        return statistics.fmean(losses)

    return Job(run, *token_counts(chosen))


def token_counts(chosen):
    real = sum(len(ids) for batch in chosen for ids, _ in batch)
    return real, sum(len(batch) * max(len(ids) for ids, _ in batch) for batch in chosen)


def measure(name, job, warm_up, repetitions, threads):
    for _ in range(warm_up):
        job.run()
    wall, cpu = [], []
    for _ in range(repetitions):
        start, busy = time.perf_counter(), time.process_time()
        loss = job.run()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    seconds = statistics.median(wall)
    print(
        json.dumps(
            {
                "side": "peft",
                "workload": name,
                "threads": threads,
                "repetitions": repetitions,
                "seconds": round(seconds, 4),
                "fastest_seconds": round(min(wall), 4),
                "cpu_seconds": round(statistics.median(cpu), 4),
                "tokens": job.tokens,
                "padded_tokens": job.padded_tokens,
                "tokens_per_s": round(job.tokens / seconds, 1),
                "mean_loss": round(loss, 4),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}",
            }
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "models" / "minilm-f32"), help="folder of the f32 checkpoint")
    parser.add_argument("--data", default=str(ROOT / "assets" / "sentiment" / "movie.tsv.gz"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workloads", default="step_32x64,step_8x128,epoch,round")
    parser.add_argument("--repetitions", type=int, default=7, help="of a step; an epoch or a round is run once")
    parser.add_argument("--every", type=int, default=1, help="train on every so many batches of the epoch only: 4 takes a quarter of it")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    workloads = arguments.workloads.split(",")
    model = Classifier(arguments.model).train()
    texts = movie_texts(arguments.data, arguments.model) if {"epoch", "round"} & set(workloads) else []
    for name in workloads:
        if name.startswith("step_"):
            job = step_job(model, *map(int, name.removeprefix("step_").split("x")))
            measure(name, job, 2, arguments.repetitions, arguments.threads)
        else:
            job = epoch_job(model, texts, arguments.every) if name == "epoch" else round_job(model, texts)
            warm = Job(lambda: step_job(model, 8, 32).run(), 0, 0)
            for _ in range(3):
                warm.run()
            measure(name, job, 0, 1, arguments.threads)


if __name__ == "__main__":
    main()
