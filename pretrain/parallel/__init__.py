"""Spreading the model over processes: the layout and its checks, process groups, and the DeepSpeed engine."""
