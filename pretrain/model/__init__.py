"""The transformer as one flat list of Megatron-core layers. Knows nothing of engines, compilation or checkpoints."""
