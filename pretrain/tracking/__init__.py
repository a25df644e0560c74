"""What a run says of itself: metrics.jsonl, the truth, and its mirror in MLflow."""
