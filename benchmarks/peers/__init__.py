"""Other systems, measured on the same documents."""
