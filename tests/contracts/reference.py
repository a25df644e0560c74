"""The contracts of the design once more, in plain Python: which documents a shard holds, and which samples a step reads.

Written from the design's text, slow and short, importing nothing of Millrace: two programs that agree are hard to get
wrong in the same way.
"""

import unicodedata
from collections import defaultdict
from fractions import Fraction
from heapq import nlargest

from xxhash import xxh3_64_intdigest, xxh3_128_digest

RANGE, PERIOD = 2**64, 65_536


def document_id(source, relative_path, offset):
    return xxh3_128_digest(f"{source}\0{relative_path}\0{offset}".encode())


def content_hash(text):
    return xxh3_128_digest(" ".join(unicodedata.normalize("NFC", text).split()).encode())


def split_of(seed, content, validation, test):
    u = xxh3_64_intdigest(content, seed=seed) / RANGE
    return "test" if u < test else "validation" if u < test + validation else "train"


def shards(records, unit_bytes, target_text_bytes, seed, validation, test):
    """records: source -> (relative path, offset, text) in order. Returns (split, source) -> shards of (id, text)."""
    seen, result = set(), defaultdict(list)
    for source, documents in records.items():
        units = defaultdict(lambda: defaultdict(list))  # split -> unit -> documents; the first copy in unit order stays
        for path, offset, text in documents:
            if (content := content_hash(text)) not in seen:
                seen.add(content)
                split = split_of(seed, content, validation, test)
                units[split][path, offset // unit_bytes].append((document_id(source, path, offset), text))
        for split, of_unit in units.items():
            shard, size = [], 0
            for unit in sorted(of_unit):
                shard += of_unit[unit]
                size += sum(len(text.encode()) for _, text in of_unit[unit])
                if size >= target_text_bytes or unit == max(of_unit):
                    result[split, source].append(sorted(shard, key=lambda d: xxh3_64_intdigest(d[0], seed=seed)))
                    shard, size = [], 0
    return result


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) % RANGE
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % RANGE
    x = (x ^ x >> 27) * 0x94D049BB133111EB % RANGE
    return x ^ x >> 31


def place(i, n, seed, source, epoch):
    half = max(4, -(-(n - 1).bit_length() // 2))
    keys = [xxh3_64_intdigest(f"{seed}\0{source}\0{epoch}\0{r}".encode()) for r in range(4)]
    while True:
        left, right = divmod(i, 2**half)
        for key in keys:
            left, right = right, left ^ mix((right + key) % RANGE) >> 64 - half
        i = left * 2**half + right
        if i < n:
            return i


def blend_table(weights):
    names, total = sorted(weights), sum(Fraction(w) for w in weights.values())
    share = {s: Fraction(weights[s]) * PERIOD / total for s in names}
    k = {s: int(share[s]) for s in names}
    for s in nlargest(PERIOD - sum(k.values()), names, key=lambda s: share[s] - k[s]):
        k[s] += 1
    slack, drawn, table = max(1, 2 * len(names) - 2), dict.fromkeys(names, 0), []
    for n in range(1, PERIOD + 1):  # Tijdeman 1980: of those whose share has come, the one whose time runs out first
        due = [s for s in names if slack * n * k[s] >= (slack * drawn[s] + 1) * PERIOD] if len(names) > 1 else names
        table.append(min(due, key=lambda s: (slack * (drawn[s] + 1) - 1) * PERIOD // (slack * k[s])))
        drawn[table[-1]] += 1
    return table


def samples(streams, length, seed, weights, count):
    """streams: source -> all its tokens. Yields (source, epoch, j, tokens of the window) of samples 0 ... count - 1."""
    size = {s: (len(tokens) - 1) // length for s, tokens in streams.items()}
    table, drawn = blend_table(weights or size), dict.fromkeys(streams, 0)
    for g in range(count):
        source = table[g % PERIOD]
        epoch, i = divmod(drawn[source], size[source])
        drawn[source] += 1
        j = place(i, size[source], seed, source, epoch)
        yield source, epoch, j, streams[source][j * length : j * length + length + 1]
