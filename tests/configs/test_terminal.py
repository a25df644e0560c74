"""A terminal shows text from outside and obeys none of it."""

from __future__ import annotations

import ast
import json
import sys
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from configs.terminal import harmless
from tests.conftest import on_a_terminal

ANYTHING = st.text(st.characters(exclude_categories=()))


@given(ANYTHING)
@example("\x1b]0;title\x07\x1b[2J\x9b31m\r\x7f\u202e\u2028\ud800")
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = harmless(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cs", "Zl", "Zp"}
    assert {c for c in shown if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@given(ANYTHING.filter(lambda text: not {*text} & {"\\", '"'}))
def test_what_is_escaped_can_be_read_back(text: str) -> None:
    assert ast.literal_eval('"""' + harmless(text).replace('"', '\\"') + '"""') == text


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    text = "Mühle\t水車\u3000🌊 👩\u200d🔬\u00a0مطحنة\n"
    assert harmless(text) == text


def test_json_on_a_terminal_is_ascii_and_means_the_same() -> None:
    text = "the\x1b[2J\x9bmill\x7f\u202eM\u00fchle"
    program = f"from configs.terminal import json_for_stdout\nprint(json_for_stdout({text!r}))"
    shown = on_a_terminal(sys.executable, "-P", "-c", program).strip()
    assert shown.isascii() and shown.isprintable() and json.loads(shown) == text


def test_a_message_with_the_name_of_a_hostile_file_does_not_move_the_cursor() -> None:
    shown = on_a_terminal(sys.executable, "-P", "-m", "millrace", "config", "no\x1b[2Jpe.yaml", NO_COLOR="1")
    assert "no\\x1b[2Jpe.yaml" in shown and "\x1b" not in shown
