"""What a page may cost: nesting, tags and attributes are counted in its bytes before any parser builds a tree.

The parsers' time grows with the square of the depth and of the attributes of one tag, and their memory with the nodes;
these bounds depend on the bytes alone, so that the same pages are refused everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from data_pipeline.extract import survey
from data_pipeline.extract.prescan import ATTRIBUTE, TAG_END

RULE_VERSION = 1

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40})")
_BLOCKS = frozenset(
    b"address article aside blockquote button center details dialog dir div dl fieldset figcaption figure footer form"
    b" header hgroup main marquee menu nav object ol pre section select summary table template ul".split()
)
# Elements that never nest: void ones, and those that the next of their kind or of their block closes.
_FLAT = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dt dd option optgroup tr td th thead"
    b" tbody tfoot colgroup html head body rb rt rtc rp".split()
)
# Left open in one block, they are opened anew in the next (HTML standard, 13.2.4.3); of `a` and `nobr` only one is.
_FORMATTING_NAMES = frozenset(b"b big code em font i s small strike strong tt u".split())
_CELLS = frozenset((b"td", b"th", b"caption"))
_CELL_ENDS = _CELLS | frozenset((b"tr", b"tbody", b"thead", b"tfoot"))
_SAME_FORMATTING = 3  # the "Noah's Ark clause" of the standard
_RAW_TEXT = frozenset(b"script style textarea title xmp iframe noembed noframes".split())
_FORMATTING_KEYS = np.array(sorted(map(survey.key, _FORMATTING_NAMES)), np.int64)
_RULED, _KINDS = survey.rules(_BLOCKS, _FLAT, _FORMATTING_NAMES, _CELL_ENDS)


@dataclass(frozen=True)
class Bounds:
    """depth: elements nested in each other. nodes: elements of the tree. attributes: of one tag."""

    depth: int
    nodes: int
    attributes: int


def refusal(data: bytes, bounds: Bounds) -> tuple[str, float] | None:
    """Reason and measured value of the first bound that the page breaks: `html_nodes`, `html_depth`,
    `html_attributes`; None where it keeps all. Time is linear in the bytes."""
    page = np.frombuffer(data, np.uint8)
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    opens, ends, left_open, suspect = survey.most_open(page, words, survey.CODES, _FORMATTING_KEYS, bounds.attributes)
    # Start tags at most. Of few pages more must be known.
    tags = opens if opens <= min(bounds.nodes, bounds.depth) else opens - ends
    if tags > bounds.nodes:
        return "html_nodes", tags
    if tags > bounds.depth:
        found = survey.depth(page, survey.CODES, _RULED, _KINDS, bounds.depth)
        if found < 0:
            found = depth(data, bounds.depth)
        if found > bounds.depth:
            return "html_depth", found
    # The product of the two is largest where they are equally many.
    if tags * tags > 4 * bounds.nodes and tags * (1 + left_open) > bounds.nodes:
        found = nodes(data, bounds.nodes)
        if found > bounds.nodes:
            return "html_nodes", found
    if suspect:
        found = attributes(data, bounds.attributes)
        if found > bounds.attributes:
            return "html_attributes", found
    return None


def depth(data: bytes, limit: int) -> int:
    """How deep the elements nest, by the tree builder's rules for end tags (HTML standard, 13.2.6.4.7), counted up to
    one above `limit`."""
    deepest = 0
    elements = _OpenElements()
    for tag in _TAG.finditer(data):
        name = tag[2].lower()
        if name in _FLAT:
            if name in _CELL_ENDS:
                elements.end_cell()
        elif tag[1]:
            elements.end(name)
        else:
            elements.start(name)
            if elements.depth > deepest:
                deepest = elements.depth
                if deepest > limit:
                    break
    return deepest


class _OpenElements:
    """The elements open at a place of the page, in time that does not depend on how many they are: each is removed
    once, and none is looked for that is not there."""

    def __init__(self) -> None:
        self.depth = 0
        # One list per open block and one before any: the block's name, then the elements open in it that are no blocks.
        self._levels: list[list[bytes]] = [[b""]]
        self._blocks: dict[bytes, int] = {}
        self._inside: list[dict[bytes, int]] = [{}]

    def start(self, name: bytes) -> None:
        self.depth += 1
        if name in _BLOCKS:
            self._levels.append([name])
            self._inside.append({})
            self._blocks[name] = self._blocks.get(name, 0) + 1
        else:
            self._levels[-1].append(name)
            self._inside[-1][name] = self._inside[-1].get(name, 0) + 1

    def end(self, name: bytes) -> None:
        """Closes down to the innermost of that name; ignored if there is none, or if a block lies between and it is
        no block's."""
        if name in _BLOCKS:
            while self._blocks.get(name):
                level = self._levels.pop()
                self._inside.pop()
                self._blocks[level[0]] -= 1
                self.depth -= len(level)
                if level[0] == name:
                    return
        elif self._inside[-1].get(name):
            while self._pop() != name:
                pass

    def end_cell(self) -> None:
        """A cell or a row that begins or ends directly in a table closes the formatting left open in the cell before."""
        if self._levels[-1][0] == b"table":
            while len(self._levels[-1]) > 1 and self._levels[-1][-1] in _FORMATTING_NAMES:
                self._pop()

    def _pop(self) -> bytes:
        name = self._levels[-1].pop()
        self._inside[-1][name] -= 1
        self.depth -= 1
        return name


def nodes(data: bytes, limit: int) -> int:
    """At most so many elements become of the page, those included that the tree builder opens anew because a block
    ended over them (40 kB of `<p>` behind 100 open `<b>` made 400 MB); counted until `limit` is passed."""
    count = 0
    active = [_Active()]  # one per cell that is open: a cell hides what is outside
    tables: list[int] = []  # how many of these there were when each open table began
    for tag in _TAG.finditer(data):
        name = tag[2].lower()
        if tables and name in _CELL_ENDS:
            del active[tables[-1] :]
        if name == b"table":
            if not tag[1]:
                tables.append(len(active))
            elif tables:
                del active[tables.pop() :]
        if tag[1]:
            if name in _FORMATTING_NAMES:
                active[-1].close(name)
            continue
        count += 1
        if name in _FORMATTING_NAMES:
            # Until the next `>`, or a bounded part: what differs only behind it counts as the same.
            end = data.find(b">", tag.end(), tag.end() + 200)
            active[-1].open(name, data[tag.end() : end if end >= 0 else tag.end() + 200])
        elif name in _CELLS and tables:
            active.append(_Active())
        else:
            count += active[-1].total
        if count > limit:
            break
    return count


class _Active:
    """Formatting elements that the next block opens anew: `total` of them, three alike at most."""

    def __init__(self) -> None:
        self.total = 0
        self._attributes: dict[bytes, list[bytes]] = {}
        self._alike: dict[tuple[bytes, bytes], int] = {}

    def open(self, name: bytes, attributes: bytes) -> None:
        alike = self._alike.get((name, attributes), 0)
        if alike < _SAME_FORMATTING:
            self._alike[name, attributes] = alike + 1
            self._attributes.setdefault(name, []).append(attributes)
            self.total += 1

    def close(self, name: bytes) -> None:
        if self._attributes.get(name):
            self._alike[name, self._attributes[name].pop()] -= 1
            self.total -= 1


def attributes(data: bytes, limit: int) -> int:
    """Attributes of the tag that has most of them, counted up to one above `limit`, by the tokenizer's rules."""
    most = at = 0
    while True:
        at = data.find(b"<", at)
        if at < 0:
            return most
        if data.startswith(b"<!--", at):
            at = data.find(b"-->", at + 2)
            if at < 0:
                return most
            continue
        tag = _TAG.match(data, at)
        if tag is None:
            at += 1
            continue
        found = 0
        at = TAG_END.match(data, tag.end()).end()  # type: ignore[union-attr]  # it matches the empty string
        while (attribute := ATTRIBUTE.match(data, at)) is not None:
            found += 1
            at = attribute.end()
            if found > limit:
                return found
        most = max(most, found)
        if not tag[1] and tag[2].lower() in _RAW_TEXT:
            end = re.compile(rb"</" + tag[2] + rb"[\t\n\f\r />]", re.IGNORECASE).search(data, at)
            if end is None:
                return most
            at = end.start()
