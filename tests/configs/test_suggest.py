from __future__ import annotations

from typing import Any

import pytest

from configs import suggest
from configs.schema.tree import Config
from configs.suggest import ALIASES, NOTES, hint_for_key, nearest, schema_keys

KEYS = schema_keys(Config)


def hint(key: str) -> str:
    return hint_for_key(tuple(int(p) if p.isdigit() else p for p in key.split(".")), Config)


def test_every_alias_leads_to_a_key_and_is_none_itself() -> None:
    assert set(ALIASES.values()) <= set(KEYS)
    assert not set(ALIASES) & set(KEYS)
    assert not set(NOTES) & (set(ALIASES) | set(KEYS))


def test_every_word_for_a_value_leads_to_a_value_of_its_key() -> None:
    for key, words in suggest._VALUES.items():
        model: Any = Config
        for step in key.split("."):
            if step != "*":
                model = model.model_fields[step].annotation
                model = next((a for a in getattr(model, "__args__", ()) if hasattr(a, "model_fields")), model)
        assert set(words.values()) <= set(model.__args__), key
        assert not set(words) & set(model.__args__), key
    assert set(suggest._IN_SECTION.values()) <= set(KEYS)
    assert not set(suggest._IN_SECTION) & set(KEYS)


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("train.precision", "half", "bf16"),
        ("train.precision", "FP-32", "fp32"),
        ("train.recompute", False, "none"),
        ("sources.3.type", "json", "jsonl"),
        ("model.position", "sinusoidal", ""),
    ],
)
def test_what_others_call_a_value_leads_to_it(key: str, written: object, meant: str) -> None:
    choices = {"train.precision": ["fp32", "bf16"], "train.recompute": ["none", "selective", "full"],
               "sources.3.type": ["installed-docs", "jsonl", "warc"], "model.position": ["learned", "rope"]}  # fmt: skip
    assert suggest.meant_value(key, written, choices[key]) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lr", "optimizer.lr"),
        ("train.lr", "optimizer.lr"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("tp", "layout.tp"),
        ("layout.tensor_parallel", "layout.tp"),
        ("pp", "layout.pp"),
        ("bs", "train.global_batch"),
        ("train.batch_size", "train.global_batch"),
        ("mbs", "train.micro_batch"),
        ("train.micro-batch", "train.micro_batch"),
        ("gbs", "train.global_batch"),
        ("seq_len", "train.seq_length"),
        ("wd", "optimizer.weight_decay"),
        ("model.n_layers", "model.num_layers"),
        ("model.hidden", "model.hidden_size"),
        ("model.heads", "model.num_heads"),
        ("steps", "train.steps"),
        ("train.weight_decay", "optimizer.weight_decay"),
        ("TRAIN.STEPS", "train.steps"),
        ("sources.2.text_feild", "sources.2.text_field"),
        ("clean.gopher_quality.min_word", "clean.gopher_quality.min_words"),
    ],
)
def test_what_others_call_it_leads_to_the_key(written: str, meant: str) -> None:
    assert hint(written) == f"did you mean `{meant}`?"


@pytest.mark.parametrize("written", ["dp", "layout.dp", "train.gradient_accumulation_steps"])
def test_what_follows_from_other_keys_is_explained(written: str) -> None:
    assert "what remains" in hint(written)


def test_every_typo_of_one_letter_finds_its_key() -> None:
    """Each key of the tree with each of its letters doubled or left out; where it is that typo of several keys (a digit
    left out of a family of them), one of these is enough."""
    meant: dict[str, set[str]] = {}
    for key in (key for key in KEYS if len(key.rpartition(".")[2]) > 2):
        section, _, last = key.replace("*", "0").rpartition(".")
        for i in range(len(last)):
            for typo in (last[:i] + last[i + 1 :], last[: i + 1] + last[i:]):
                written = f"{section}.{typo}".lstrip(".")
                if written.replace("0", "*") not in KEYS:
                    meant.setdefault(written, set()).add(f"`{key.replace('*', '0')}`")
    missed = [(written, hint(written)) for written, keys in meant.items() if not any(k in hint(written) for k in keys)]
    assert missed == []


def test_a_key_unlike_any_other_gets_the_keys_of_its_section() -> None:
    assert hint("layout.qqqqqq") == "keys here: tp, pp, zero, sequence_parallel"


def test_nearest_ignores_case_and_gives_none_when_nothing_is_near() -> None:
    assert nearest("GELU", ["gelu", "swiglu"]) == ["gelu"]
    assert nearest("zzz", ["gelu", "swiglu"]) == []
