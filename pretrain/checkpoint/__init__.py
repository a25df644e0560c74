"""Checkpoints by logical tensor: any layout writes them, any layout reads them."""
