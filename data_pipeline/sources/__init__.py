"""Readers of raw inputs, one file per `type` of source."""
