"""Shards in, batches out: the order of samples, their blend, and the reader that keeps the loop fed."""
