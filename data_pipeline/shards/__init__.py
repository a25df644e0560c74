"""Token shards: the contract between the two halves of the road. Needs pyarrow, numpy and xxhash only.

Reading: `load_manifest(dir)` names the shards, `ShardReader` maps one, `ShardCache` keeps the recently used open.
Writing lives in `data_pipeline.shards.writer` and is not imported here.
"""

from data_pipeline.shards.manifest import Manifest, ShardEntry, load_manifest
from data_pipeline.shards.reader import ShardCache, ShardReader
from data_pipeline.shards.schema import FORMAT_VERSION

__all__ = ["FORMAT_VERSION", "Manifest", "ShardCache", "ShardEntry", "ShardReader", "load_manifest"]
