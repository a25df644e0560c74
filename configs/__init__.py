"""One typed tree of configuration: the pydantic models, their loader, and the presets (YAML) shipped beside them.

Nothing here knows torch, data formats or clusters: a check that needs a room's knowledge lives in that room.
"""
