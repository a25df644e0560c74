"""Datasets of the Hugging Face library: directories that `save_to_disk` wrote, and names on the hub, streamed.

A saved dataset is Arrow files, read as such. A dataset on the hub is asked for when its name stands in `paths`, and
never else; each of its shards is a unit, known by the commit that `revision` names at that moment, so a dataset that
moves on is read anew and a commit written as `revision` stays the same. A document's offset is its row's number in the
shard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import xxhash

from configs.errors import Problem, TryLater
from configs.schema.source import Source
from configs.suggest import nearest
from data_pipeline.pool import advance
from data_pipeline.sources import arrow, fields
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = [1, arrow.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("datasets", "pyarrow", "orjson")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
_HUB = "hub:"
_UNREACHABLE = (
    "on a machine with a network: `hf download --repo-type dataset NAME --local-dir DIR`; then name DIR with the type "
    "of its files (parquet, jsonl, csv)"
)


def plan(source: Source, unit_bytes: int) -> Plan:
    """The Arrow files of saved datasets, cut as those are, and one unit per shard of a dataset on the hub."""
    result = Plan()
    for entry in source.paths:
        path = Path(entry).expanduser()
        if path.is_dir():
            result_of_entry = _saved(path, source, unit_bytes)
        elif path.exists() or not _NAME.fullmatch(entry):
            problem = Problem("neither a directory of a saved dataset nor a name on the hub", entry, "write owner/name")
            result_of_entry = Plan(problems=[problem])
        else:
            result_of_entry = _on_hub(entry, source)
        result.pieces += result_of_entry.pieces
        result.problems += result_of_entry.problems
        result.left_out |= result_of_entry.left_out
    return result


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """The rows of a shard in order. TryLater: the hub does not answer."""
    if not unit.path.startswith(_HUB):
        yield from arrow.read(unit, source, limits, tally)
        return
    name, revision, shard, shards = unit.path.removeprefix(_HUB).rsplit("\0", 3)
    import pyarrow as pa

    offset = 0
    try:
        rows = _stream(name, source, revision).shard(int(shards), int(shard))
        for offset, row in enumerate(rows):
            tally.records += 1
            size = sum(len(value) for value in map(row.get, fields.wanted(source)) if isinstance(value, str | bytes))
            if size > limits.record_bytes:
                yield Record(unit.relative_path, offset, too_large=size)
                continue

            def get(field: str, row: dict[str, Any] = row) -> Any:
                return fields.lookup(row, field)

            record = fields.make_record(
                get, lambda: list(rows.column_names or []), source, unit.relative_path, offset, limits, tally
            )
            if record is not None:
                yield record
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        tally.damage("stream", unit.relative_path, offset, str(error))
    except Exception as error:  # the libraries below raise errors of many kinds when a network fails
        raise TryLater(
            f"the hub cannot be read: {type(error).__name__}: {str(error)[:300]}",
            where=str(unit),
            saved="every unit finished before",
            go_on="see to the network, then give the same command again",
        ) from error
    tally.input_bytes += unit.size
    advance(unit.size)


def _saved(folder: Path, source: Source, unit_bytes: int) -> Plan:
    """The data files of one split of a directory that `save_to_disk` wrote."""
    place = folder
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(child.name for child in folder.iterdir() if (child / "state.json").is_file())
        if source.split not in splits:
            near = nearest(source.split, splits)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = f"{hint}splits: {', '.join(splits) or 'none'}"
            return Plan(problems=[Problem(f"the dataset has no split {source.split!r}", str(folder), listed)])
        place = folder / source.split
    try:
        state = orjson.loads((place / "state.json").read_bytes())
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        hint = "for other files choose the type by their names: parquet, arrow, jsonl, csv, text"
        return Plan(problems=[Problem("no dataset was saved here (no state.json)", str(folder), hint)])
    if any(Path(name).name != name for name in names):
        return Plan(problems=[Problem("state.json names files outside of its directory", str(folder))])
    if not names:
        return Plan(problems=[Problem("the dataset has no data files", str(folder))])
    paths = [str(place / name) for name in names]
    return arrow.plan(source.model_copy(update={"paths": paths}), unit_bytes)


def _on_hub(name: str, source: Source) -> Plan:
    """One unit per shard of the split, at the commit that the revision names now."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        what = f"{name!r} is no directory here, and HF_HUB_OFFLINE keeps the hub from being asked"
        return Plan(problems=[Problem(what, hint=_UNREACHABLE)])
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        commit = huggingface_hub.HfApi().dataset_info(name, revision=source.revision, timeout=30).sha or ""
        dataset = _stream(name, source, commit)
        shards = int(dataset.num_shards)
        columns = dataset.column_names
    except RevisionNotFoundError:
        return Plan(
            problems=[Problem(f"{name} has no revision {source.revision!r} on the hub", hint="see its branches")]
        )
    except RepositoryNotFoundError:
        hint = "check the name; private datasets need HF_TOKEN in the environment"
        return Plan(problems=[Problem(f"there is no dataset {name!r} on the hub", hint=hint)])
    except HfHubHTTPError as error:
        return Plan(problems=[Problem(f"the hub refuses {name!r}: {str(error)[:200]}", hint=_UNREACHABLE)])
    except ValueError as error:  # an unknown subset or split: the message lists what there is
        return Plan(problems=[Problem(f"{name}: {str(error)[:500]}", hint="set `subset` and `split` of the source")])
    except Exception as error:  # requests, httpx and sockets: no network
        what = f"the hub cannot be reached for {name!r}: {type(error).__name__}"
        return Plan(problems=[Problem(what, hint=_UNREACHABLE)])
    problems = []
    if columns and not any(field in columns or field.split(".")[0] in columns for field in source.text_fields):
        near = nearest(source.text_fields[0], columns)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = f"{hint}columns: {', '.join(columns[:12])}"
        problems.append(Problem(f"text_field {source.text_fields[0]!r} is no column", name, listed))
    size = max(int(getattr(dataset.info, "download_size", 0) or 0) // max(shards, 1), 1)
    pieces = []
    for shard in range(shards):
        place = f"{name}/{source.subset or 'default'}/{source.split}/{shard:05d}-of-{shards:05d}"
        digest = xxhash.xxh3_128_hexdigest(f"hub\0{commit}\0{place}".encode())
        path = f"{_HUB}{name}\0{commit}\0{shard}\0{shards}"
        pieces.append(Piece(place, path, 0, size, whole=True, xxh3=digest))
    return Plan(pieces, problems=problems)


def _stream(name: str, source: Source, revision: str) -> Any:
    """The split as `datasets` streams it, with the columns asked for alone where they are known."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    stream = datasets.load_dataset(
        name, source.subset or None, split=source.split, streaming=True, revision=revision or None
    )
    if stream.column_names:
        first = {field if field in stream.column_names else field.split(".")[0] for field in fields.wanted(source)}
        columns = [column for column in stream.column_names if column in first]
        stream = stream.select_columns(columns) if columns else stream
    return stream
