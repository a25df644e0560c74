"""A text classifier from two labelled sets of documents, saved in fastText's format."""
