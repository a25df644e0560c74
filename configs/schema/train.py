"""The sections that lead from shards to a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.section import Section


class Model(Section):
    """Shape of the transformer. Every size is of the whole model, whatever the layout."""

    num_layers: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    num_heads: int = Field(ge=1, description="attention (query) heads")
    num_kv_heads: int = Field(default=0, ge=0, description="key/value heads (GQA, Ainslie et al. 2023); 0: num_heads")
    head_dim: int = Field(default=0, ge=0, description="0: hidden_size / num_heads")
    ffn_hidden_size: int = Field(default=0, ge=0, description="0: 4 x hidden_size")
    vocab_size: int = Field(default=0, ge=0, description="0: the corpus' tokenizer decides")
    max_positions: int = Field(default=0, ge=0, description="learned positions; 0: train.seq_length")
    activation: Literal["gelu", "swiglu"] = "gelu"
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_eps: float = Field(default=1e-5, gt=0)
    position: Literal["learned", "rope"] = "learned"
    rope_theta: float = Field(default=10_000.0, gt=0)
    tie_embeddings: bool = Field(default=True, description="one matrix for input embedding and output head")
    bias: bool = Field(default=True, description="biases in linear layers")
    init_std: float = Field(default=0.02, gt=0, description="GPT-2's; residual outputs: / sqrt(2 x layers)")

    @property
    def kv_heads(self) -> int:
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def ffn_size(self) -> int:
        return self.ffn_hidden_size or 4 * self.hidden_size


class Layout(Section):
    """How the model is spread over processes; data parallelism is what remains."""

    tp: int = Field(default=1, ge=1, description="tensor parallel degree")
    pp: int = Field(default=1, ge=1, description="pipeline parallel degree")
    zero: int = Field(default=1, ge=0, le=3, description="ZeRO stage asked for; what ran is recorded")
    sequence_parallel: bool = Field(default=True, description="tp > 1: norms and residuals split along the sequence")


class Train(Section):
    """How long, how much at a time, and how exactly."""

    steps: int = Field(default=1000, ge=1, description="horizon of the schedule")
    stop_after: int = Field(default=0, ge=0, description="absolute step at which this life ends, saved; 0: steps")
    global_batch: int = Field(default=32, ge=1, description="sequences per optimizer step")
    micro_batch: int = Field(default=4, ge=1, description="sequences per process and forward pass")
    seq_length: int = Field(default=1024, ge=2, description="tokens per sequence")
    seed: int = Field(default=0, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    recompute: Literal["none", "selective", "full"] = Field(
        default="none", description="activations computed again in the backward pass: of attention, of whole blocks"
    )
    compile: bool = Field(default=False, description="blocks through torch.compile, during the first step")
    deterministic: bool = Field(default=False, description="bit-exact on GPU too, at some cost in speed")


class Optimizer(Section):
    """AdamW (Loshchilov & Hutter 2019); biases, norms and other vectors are not decayed."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(default=3e-4, gt=0, description="peak learning rate")
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_grad: float = Field(default=1.0, ge=0, description="global gradient norm; 0: no clipping")


class Schedule(Section):
    """Learning rate as a function of the step."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1, description="last learning rate / peak")


class Checkpoint(Section):
    """When the state is saved. The last step of a life is always saved."""

    every: int = Field(default=0, ge=0, description="steps between checkpoints; 0: only at the end of a life")
    asynchronous: bool = Field(
        default=True, description="steps wait for the copy to host memory only, not for the disk"
    )


class Eval(Section):
    """Loss and perplexity on the validation split."""

    every: int = Field(default=0, ge=0, description="steps between evaluations; 0: only at the start and the end")
    samples: int = Field(default=256, ge=1, description="sequences of the validation split, the same ones each time")


class Run(Section):
    """Where the run lives."""

    dir: str = Field(default="run", description="a directory with a checkpoint is resumed")
    name: str = Field(default="", description="name in the tracker; empty: that of the directory")


class Tracking(Section):
    """MLflow mirrors metrics.jsonl, which is the truth."""

    uri: str = Field(default="", description="MLflow tracking URI; empty: mlflow.db in run.dir; none: no mirror")
    experiment: str = Field(default="millrace")
    every: int = Field(default=1, ge=1, description="steps between rows of metrics.jsonl")
