"""Line-wise corrections of RefinedWeb (Penedo et al. 2023, "The RefinedWeb dataset", section 3.1 and appendix G.2).

Removed: lines mainly of capitals, of numbers alone, counters ("3 likes"), of one word; edited: short lines that begin, end or
go with phrases of navigation. A document is refused if the lines so treated held more than 5 % of its words. The paper gives
no patterns and says that they need adapting to each language: the lists here are our own, in the configuration.
"""

from __future__ import annotations

from data_pipeline.clean.rule import Rule

RULES: tuple[Rule, ...] = (
    Rule("lines_removed_words", "lines_removed_words", "lines", None, "max_removed_words", "Penedo et al. 2023, G.2"),
)
