"""The nearest valid name for one that is not: difflib for misspellings, a table for names other systems use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

# What the field calls it -> what it is called here. Spelled in lower case with underscores.
ALIASES = {
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "max_lr": "optimizer.lr",
    "peak_lr": "optimizer.lr",
    "min_lr": "schedule.min_lr_ratio",
    "wd": "optimizer.weight_decay",
    "decay": "optimizer.weight_decay",
    "adam_beta1": "optimizer.beta1",
    "adam_beta2": "optimizer.beta2",
    "adam_eps": "optimizer.eps",
    "epsilon": "optimizer.eps",
    "clip": "optimizer.clip_grad",
    "grad_clip": "optimizer.clip_grad",
    "gradient_clipping": "optimizer.clip_grad",
    "max_grad_norm": "optimizer.clip_grad",
    "lr_schedule": "schedule.name",
    "scheduler": "schedule.name",
    "lr_decay_style": "schedule.name",
    "warmup": "schedule.warmup_steps",
    "warmup_iters": "schedule.warmup_steps",
    "lr_warmup_iters": "schedule.warmup_steps",
    "tp": "layout.tp",
    "tensor_parallel": "layout.tp",
    "tensor_parallel_size": "layout.tp",
    "tensor_model_parallel_size": "layout.tp",
    "pp": "layout.pp",
    "pipeline_parallel": "layout.pp",
    "pipeline_parallel_size": "layout.pp",
    "pipeline_model_parallel_size": "layout.pp",
    "zero_stage": "layout.zero",
    "sp": "layout.sequence_parallel",
    "bs": "train.global_batch",
    "batch": "train.global_batch",
    "batch_size": "train.global_batch",
    "gbs": "train.global_batch",
    "global_batch_size": "train.global_batch",
    "train_batch_size": "train.global_batch",
    "mbs": "train.micro_batch",
    "micro_batch_size": "train.micro_batch",
    "per_device_train_batch_size": "train.micro_batch",
    "seq_len": "train.seq_length",
    "sequence_length": "train.seq_length",
    "context_length": "train.seq_length",
    "block_size": "train.seq_length",
    "max_seq_len": "train.seq_length",
    "gpus": "cluster.gpus_per_node",
    "ntasks_per_node": "cluster.tasks_per_node",
    "procs_per_node": "cluster.tasks_per_node",
    "mem": "cluster.memory",
    "mem_gb": "cluster.memory",
    "walltime": "cluster.time",
    "timeout_min": "cluster.time",
    "env": "cluster.environment",
    "iters": "train.steps",
    "train_iters": "train.steps",
    "max_iters": "train.steps",
    "max_steps": "train.steps",
    "num_steps": "train.steps",
    "train_steps": "train.steps",
    "dtype": "train.precision",
    "bf16": "train.precision",
    "fp16": "train.precision",
    "n_layer": "model.num_layers",
    "n_layers": "model.num_layers",
    "layers": "model.num_layers",
    "depth": "model.num_layers",
    "num_hidden_layers": "model.num_layers",
    "hidden": "model.hidden_size",
    "d_model": "model.hidden_size",
    "dim": "model.hidden_size",
    "n_embd": "model.hidden_size",
    "width": "model.hidden_size",
    "heads": "model.num_heads",
    "n_head": "model.num_heads",
    "n_heads": "model.num_heads",
    "num_attention_heads": "model.num_heads",
    "kv_heads": "model.num_kv_heads",
    "n_kv_heads": "model.num_kv_heads",
    "num_key_value_heads": "model.num_kv_heads",
    "num_query_groups": "model.num_kv_heads",
    "ffn": "model.ffn_hidden_size",
    "d_ff": "model.ffn_hidden_size",
    "intermediate_size": "model.ffn_hidden_size",
    "max_position_embeddings": "model.max_positions",
    "tie": "model.tie_embeddings",
    "tie_word_embeddings": "model.tie_embeddings",
    "theta": "model.rope_theta",
    "vocab": "tokenizer.vocab_size",
    "vocab_size": "tokenizer.vocab_size",
    "tokenizer_model": "tokenizer.model",
    "lang": "clean.languages",
    "language": "clean.languages",
    "num_workers": "data.workers",
    "data_dir": "data.dir",
    "data_path": "data.dir",
    "seed": "train.seed",
    "out": "run.dir",
    "out_dir": "run.dir",
    "output": "run.dir",
    "output_dir": "run.dir",
    "run_dir": "run.dir",
    "save": "run.dir",
    "save_every": "checkpoint.every",
    "save_interval": "checkpoint.every",
    "save_steps": "checkpoint.every",
    "eval_every": "eval.every",
    "eval_interval": "eval.every",
    "eval_iters": "eval.samples",
    "log_interval": "tracking.every",
    "mlflow": "tracking.uri",
    "mlflow_uri": "tracking.uri",
    "tracking_uri": "tracking.uri",
}

# The same, where the word alone says too little.
_IN_SECTION = {
    "checkpoint.interval": "checkpoint.every",
    "checkpoint.dir": "run.dir",
    "checkpoint.path": "run.dir",
    "eval.interval": "eval.every",
    "eval.iters": "eval.samples",
    "eval.batches": "eval.samples",
    "tracking.interval": "tracking.every",
    "tracking.url": "tracking.uri",
    "run.directory": "run.dir",
    "run.path": "run.dir",
    "data.directory": "data.dir",
    "data.path": "data.dir",
    "data.paths": "data.dir",
    "data.train": "data.dir",
    "data.weights": "data.blend",
    "data.mixture": "data.blend",
    "tokenizer.path": "tokenizer.model",
    "tokenizer.type": "tokenizer.model_type",
    "cluster.gpus": "cluster.gpus_per_node",
    "cluster.cpus": "cluster.cpus_per_task",
    "cluster.queue": "cluster.partition",
}

# What the field calls a value -> what it is called here.
_VALUES = {
    "train.precision": {
        "float32": "fp32", "single": "fp32", "32": "fp32", "tf32": "fp32", "16": "bf16",
        "fp16": "bf16", "float16": "bf16", "half": "bf16", "bfloat16": "bf16", "mixed": "bf16",
    },
    "train.recompute": {"true": "full", "false": "none", "block": "full", "attention": "selective"},
    "model.activation": {"silu": "swiglu", "swish": "swiglu", "relu": "gelu", "geglu": "swiglu"},
    "model.norm": {"rms": "rmsnorm", "layer": "layernorm"},
    "model.position": {"rotary": "rope", "absolute": "learned", "embedding": "learned", "alibi": "rope"},
    "schedule.name": {"none": "constant", "linear": "cosine", "wsd": "cosine"},
    "optimizer.name": {"adam": "adamw"},
    "sources.*.type": {
        "json": "jsonl", "cc": "warc", "commoncrawl": "warc", "wet": "warc", "arc": "warc", "docs": "installed-docs",
        "tsv": "csv", "feather": "arrow", "ipc": "arrow", "txt": "text", "pq": "parquet", "hf": "huggingface",
        "datasets": "huggingface", "hub": "huggingface",
    },
    "tokenizer.model_type": {"sentencepiece": "unigram"},
}  # fmt: skip

# Wishes that no single key answers.
_NOTES = {
    "dp": "data parallelism is what remains: processes / (layout.tp x layout.pp); set `--procs`",
    "gradient_accumulation": "accumulation is what remains: train.global_batch / (train.micro_batch x dp)",
    "epochs": "a run is as long as `train.steps`; the sources are read again when they are used up",
    "dropout": "there is no dropout: a pretraining run rarely sees a text twice",
}
NOTES = _NOTES | {
    "data_parallel": _NOTES["dp"],
    "data_parallel_size": _NOTES["dp"],
    "grad_accum": _NOTES["gradient_accumulation"],
    "gradient_accumulation_steps": _NOTES["gradient_accumulation"],
    "num_epochs": _NOTES["epochs"],
    "num_train_epochs": _NOTES["epochs"],
}


def nearest(name: str, candidates: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Up to `count` candidates that look like `name`, best first; case is ignored."""
    by_lower: dict[str, str] = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), candidate)
    return [by_lower[c] for c in difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=cutoff)]


def meant_value(key: str, value: object, choices: Sequence[str]) -> str:
    """The choice that a wrong `value` of the dotted `key` most likely means, or ""."""
    word = str(value).lower()
    known = _VALUES.get(re.sub(r"\.\d+\.", ".*.", key), {}).get(word, "")
    if known in choices:
        return known
    return next(iter(nearest(word, choices, cutoff=0.5)), "")


def schema_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a tree of models, sections and leaves; the index of a list is written `*`."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for inner, is_list in _models_in(field.annotation):
            keys += schema_keys(inner, f"{prefix}{name}.*." if is_list else f"{prefix}{name}.")
    return keys


def _models_in(annotation: object, inside_list: bool = False) -> list[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, inside_list)]
    inside_list = inside_list or getattr(annotation, "__origin__", None) is list
    return [found for a in getattr(annotation, "__args__", ()) for found in _models_in(a, inside_list)]


def hint_for_key(path: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """A hint for the unknown key at `path` of the tree `model`: the nearest known key, or "" when none is near."""
    keys = schema_keys(model)
    written = ".".join(str(p) for p in path)
    if written in keys:
        nested = written.replace(".", ": {") + ": ..." + "}" * written.count(".")
        return f"a dot does not nest in YAML: write `{nested}` or indent"
    indices = [p for p in path if isinstance(p, int)]
    section = ".".join("*" if isinstance(p, int) else p for p in path[:-1])
    last = str(path[-1]).rsplit(".", 1)[-1]
    plain = last.lower().replace("-", "_")

    siblings = {k.rsplit(".", 1)[-1]: k for k in keys if k.rpartition(".")[0] == section}
    if near := nearest(last, siblings, count=3, cutoff=0.75):
        best = difflib.SequenceMatcher(None, near[0], last).ratio()
        equal = [name for name in near if difflib.SequenceMatcher(None, name, last).ratio() == best]
        return _did_you_mean([siblings[name] for name in equal], indices)
    if plain in NOTES:
        return NOTES[plain]
    if (meant := _IN_SECTION.get(f"{section}.{plain}")) is not None:
        return _did_you_mean([meant], indices)
    if plain in ALIASES:
        return _did_you_mean([ALIASES[plain]], indices)
    if same := [k for k in keys if k.rsplit(".", 1)[-1] == plain]:
        return _did_you_mean(same[:3], indices)
    if near := nearest(last, siblings):
        return _did_you_mean([siblings[near[0]]], indices)
    if not siblings and (near := nearest(written, keys)):
        return _did_you_mean(near, indices)
    lasts = {k.rsplit(".", 1)[-1]: k for k in keys}
    if near := nearest(last, [*lasts, *ALIASES], cutoff=0.7):
        return _did_you_mean([lasts.get(near[0]) or ALIASES[near[0]]], indices)
    return f"keys here: {', '.join(siblings)}" if siblings else ""


def _did_you_mean(keys: list[str], indices: list[int]) -> str:
    def spelled(key: str) -> str:
        for index in indices or [0]:
            key = key.replace("*", str(index), 1)
        return f"`{key}`"

    return f"did you mean {' or '.join(spelled(k) for k in keys)}?"
