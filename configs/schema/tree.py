"""The root of the tree. One file may describe a corpus, a training run, or both."""

from __future__ import annotations

from pydantic import Field

from configs.schema.clean import Clean
from configs.schema.cluster import Cluster
from configs.schema.data import Data, Dedup, Shards, Split, Tokenizer
from configs.schema.extract import Extract
from configs.schema.section import Section
from configs.schema.source import Source
from configs.schema.train import Checkpoint, Eval, Layout, Model, Optimizer, Run, Schedule, Tracking, Train


class Config(Section):
    """Everything a command can be told. `sources` makes a data config, `model` makes a training config."""

    sources: list[Source] = Field(default=[], description="where documents come from")
    extract: Extract = Extract()
    clean: Clean = Clean()
    dedup: Dedup = Dedup()
    tokenizer: Tokenizer = Tokenizer()
    split: Split = Split()
    shards: Shards = Shards()
    data: Data = Data()

    model: Model | None = Field(default=None, description="shape of the transformer")
    layout: Layout = Layout()
    train: Train = Train()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    checkpoint: Checkpoint = Checkpoint()
    eval: Eval = Eval()
    run: Run = Run()
    tracking: Tracking = Tracking()

    cluster: Cluster = Cluster()
