"""Repair of texts and the rules that reject documents."""
