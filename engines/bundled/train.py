"""Trains the bundled model from scratch on two CPU cores, or measures what it can do.

`python -m engines.bundled.train --steps 5000` writes a model folder, `python -m engines.bundled.train --evaluate`
prints the table of the model card. Needs torch, transformers and tokenizers, which no other part of this project
imports: run it in an environment of its own.
"""

# A command prints its progress; random conversations are no secrets, tokens no passwords.
# ruff: noqa: S106, S311, T201

import argparse
import itertools
import math
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engines.bundled import model_path
from engines.bundled.corpus import Sample, chat_samples
from engines.bundled.evaluate import evaluate
from engines.bundled.muon import Muon
from engines.bundled.names import Names
from engines.bundled.tooluse import tool_samples

VOCABULARY = 1024
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""One token each, as the engine's parsers want them, but visible text."""
WORDS = r"\p{Lu}?[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{Lu}+|\p{N}|[ ]|\s|[^\p{L}\p{N}\s]+"
"""Spaces stand alone, so that a name is cut into the same tokens after a space and after a quote: it can be copied."""
IGNORED = -100
"""The label of a token that the loss leaves out (torch's default)."""
TOOL_SHARE = 0.45
POOL = 2048
"""Samples that are sorted by length together, so that a batch has little padding."""


def samples(seed: int) -> Iterator[Sample]:
    """The training conversations: an endless stream that is a function of the seed."""
    rng = random.Random(seed)
    chats, calls = chat_samples(rng, Names(rng)), tool_samples(rng, Names(rng))
    while True:
        yield next(calls if rng.random() < TOOL_SHARE else chats)


def train_tokenizer(template: str, seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from the ASCII part of the corpus.

    Other scripts stay bytes: a letter of theirs spans two to four tokens, which is what streaming tests need.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(MARKERS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (
        message["content"].encode("ascii", "ignore").decode()
        for sample in itertools.islice(samples(seed), 20_000)
        for message in sample.messages
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=False, special=False) for marker in MARKERS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=4096
    )
    fast.chat_template = template
    return fast


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A small Llama with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def encode(tokenizer: PreTrainedTokenizerFast, sample: Sample) -> tuple[list[int], list[int]]:
    """Token ids and labels; only what the assistant says counts, and of a thinking sample only the last answer."""
    text = tokenizer.apply_chat_template(
        list(sample.messages),
        tools=list(sample.tools) or None,
        tokenize=False,
        enable_thinking=sample.thinking,
    )
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    opening: list[int] = tokenizer("<|im_start|>assistant\n", add_special_tokens=False).input_ids
    starts = [at + len(opening) for at in range(len(ids)) if ids[at : at + len(opening)] == opening]
    labels = [IGNORED] * len(ids)
    for start in starts[-1:] if sample.thinking else starts:
        end = ids.index(tokenizer.eos_token_id, start) + 1
        labels[start:end] = ids[start:end]
    return ids, labels


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, batch_tokens: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of conversations of about equal length, padded at the end, with about `batch_tokens` tokens each."""
    rng = random.Random(seed)
    stream = samples(seed)
    while True:
        pool = sorted((encode(tokenizer, next(stream)) for _ in range(POOL)), key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(pair[0]) > batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            pad = tokenizer.pad_token_id
            yield (
                torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in group]),
                torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in group]),
            )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A short warm-up, a plateau, and a fall to a hundredth over the last 40 %."""
    warm = min(1.0, (step + 1) / 100)
    fall = min(1.0, (steps - step) / (0.4 * steps))
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 - math.cos(math.pi * fall)))


def optimizers_for(model: LlamaForCausalLM, peak: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim > 1 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or "embed" in name]
    return (
        Muon(matrices, lr=peak, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(others, lr=peak, betas=(0.9, 0.95), weight_decay=0.0),
    )


def fit(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> None:
    """Train for `options.steps` steps; a line every hundred."""
    optimizers = optimizers_for(model, options.peak)
    started, seen, smooth = time.monotonic(), 0, 0.0
    for step, (ids, labels) in enumerate(batches(tokenizer, options.seed, options.batch_tokens)):
        if step == options.steps:
            return
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = learning_rate(step, options.steps, options.peak)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen += ids.numel()
        smooth = loss.item() if not step else 0.98 * smooth + 0.02 * loss.item()
        if step % 100 == 0:
            print(
                f"step {step} loss {smooth:.4f} tokens {seen} seconds {time.monotonic() - started:.0f}",
                flush=True,
            )


def write(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save the weights as bfloat16 with configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    # An engine takes this as its default: nearly greedy, and still fit for several choices of one prompt.
    model.generation_config.update(do_sample=True, temperature=0.3)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("cascadia-tiny"), help="folder to write")
    parser.add_argument("--resume", type=Path, help="go on from this folder's weights and tokenizer")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--peak", type=float, default=6e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--evaluate", type=Path, nargs="?", const=model_path(), help="measure a folder instead"
    )
    options = parser.parse_args()
    torch.set_flush_denormal(True)  # before any thread starts: attention underflows, and denormals are slow
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    if options.evaluate is None:
        template = (model_path() / "chat_template.jinja").read_text()
        if options.resume is None:
            tokenizer = train_tokenizer(template, options.seed)
            model = new_model(tokenizer)
        else:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(options.resume)
            tokenizer.chat_template = template
            model = LlamaForCausalLM.from_pretrained(options.resume, dtype=torch.float32)
        print(f"parameters {sum(p.numel() for p in model.parameters())}", flush=True)
        fit(model, tokenizer, options)
        write(model, tokenizer, options.out)
        for name in ("README.md", "LICENSE"):
            if (model_path() / name).exists() and options.out != model_path():
                shutil.copy(model_path() / name, options.out / name)
    evaluate(options.evaluate or options.out)


if __name__ == "__main__":
    main()
