"""Rules of C4 (Raffel et al. 2020, "Exploring the limits of transfer learning", section 2.2).

Of lines: those that do not end with terminal punctuation, of fewer than 5 words, or with the word JavaScript are removed;
the code published with the paper (TensorFlow Datasets, `c4_utils`) also removes lines with a word of more than 1,000
characters and lines on policies and cookies, and takes citation marks such as [1] out. Of what remains: no "lorem ipsum",
no curly bracket, at least 3 sentences. The first version of the paper had 3 words and 5 sentences, which datatrove kept.
Here, quotation marks and full stops of any script may end a line, blank lines stay as borders of paragraphs, and lorem
ipsum and brackets are looked for where the code looks: in lines that no earlier rule removes.
"""

from __future__ import annotations

from data_pipeline.clean.rule import Rule

_SOURCE = "Raffel et al. 2020, 2.2"

RULES: tuple[Rule, ...] = (
    Rule("c4_lorem_ipsum", "c4_lorem_ipsum", "c4", None, "max_lorem_ipsum", _SOURCE),
    Rule("c4_curly_brackets", "c4_curly_brackets", "c4", None, "max_curly_brackets", _SOURCE),
    Rule("c4_sentences_few", "c4_sentences", "c4", "min_sentences", None, _SOURCE),
)
