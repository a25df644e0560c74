"""Shards in, model out: the layer list, its layouts, the training loop, checkpoints and what is tracked."""
