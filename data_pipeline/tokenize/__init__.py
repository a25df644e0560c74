"""Text <-> ids: training a SentencePiece model on the corpus, and the codec both halves of the road share."""
