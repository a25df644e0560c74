"""Thresholds of the rules that judge a document by what was measured of it; defaults are those of the papers."""

from __future__ import annotations

from pydantic import Field

from configs.schema.section import Section


class GopherQuality(Section):
    """Document-level quality rules of Gopher (Rae et al. 2021, appendix A1.1); defaults are the paper's. Content."""

    enabled: bool = True
    min_words: int = Field(default=50, ge=0, description="words other than bare punctuation")
    max_words: int = Field(default=100_000, ge=1)
    min_mean_word_length: float = Field(default=3.0, ge=0)
    max_mean_word_length: float = Field(default=10.0, gt=0)
    max_symbol_word_ratio: float = Field(default=0.1, ge=0, description="hash signs per word; ellipses per word")
    max_bullet_lines: float = Field(default=0.9, ge=0, le=1, description="share of lines starting with a bullet")
    max_ellipsis_lines: float = Field(default=0.3, ge=0, le=1, description="share of lines ending with an ellipsis")
    min_alphabetic_words: float = Field(default=0.8, ge=0, le=1, description="share of words with a letter")
    min_stop_words: int = Field(default=2, ge=0, description="distinct words of the list of the document's language")
    stop_words: dict[str, list[str]] = Field(
        default={},
        description="lists by language code, in place of the built-in ones (English: the be to of and that have with)",
    )


class GopherRepetition(Section):
    """Repetition rules of Gopher (Rae et al. 2021, table A1): what is kept has at most these shares; defaults are the
    paper's. Content."""

    enabled: bool = False
    max_duplicate_lines: float = Field(default=0.30, ge=0, le=1)
    max_duplicate_paragraphs: float = Field(default=0.30, ge=0, le=1)
    max_duplicate_line_characters: float = Field(default=0.20, ge=0, le=1)
    max_duplicate_paragraph_characters: float = Field(default=0.20, ge=0, le=1)
    max_top_2gram_characters: float = Field(default=0.20, ge=0)
    max_top_3gram_characters: float = Field(default=0.18, ge=0)
    max_top_4gram_characters: float = Field(default=0.16, ge=0)
    max_duplicate_5gram_characters: float = Field(default=0.15, ge=0, le=1)
    max_duplicate_6gram_characters: float = Field(default=0.14, ge=0, le=1)
    max_duplicate_7gram_characters: float = Field(default=0.13, ge=0, le=1)
    max_duplicate_8gram_characters: float = Field(default=0.12, ge=0, le=1)
    max_duplicate_9gram_characters: float = Field(default=0.11, ge=0, le=1)
    max_duplicate_10gram_characters: float = Field(default=0.10, ge=0, le=1)


class C4(Section):
    """Rules of C4 (Raffel et al. 2020, section 2.2, and the code published with it). The lines of a document that the
    rules refuse are removed, then the document is judged. Content."""

    enabled: bool = False
    line_ends: list[str] = Field(
        default=list(".?!\"'”’»。！？．｡」』؟।"),
        description="a line must end with one of these characters, and not with three dots; empty: no such rule",
    )
    min_line_words: int = Field(default=5, ge=0, description="lines with fewer words are removed")
    max_line_word_characters: int = Field(default=1000, ge=1, description="lines with a longer word are removed")
    javascript: bool = Field(default=True, description="remove lines that mention JavaScript")
    policy_phrases: list[str] = Field(
        default=["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"],
        description="lines with one of them are removed; case of ASCII letters ignored",
    )
    citations: bool = Field(default=True, description="take out [1], [edit] and [citation needed]")
    max_lorem_ipsum: int = Field(default=0, ge=0, description='times "lorem ipsum" may occur')
    max_curly_brackets: int = Field(default=0, ge=0, description="times { may occur")
    min_sentences: int = Field(default=3, ge=0)


class FineWeb(Section):
    """Rules of FineWeb (Penedo et al. 2024, section 3.5); defaults are the paper's. Content."""

    enabled: bool = False
    min_punctuated_lines: float = Field(default=0.12, ge=0, le=1, description="share of lines ending with punctuation")
    max_short_lines: float = Field(default=0.67, ge=0, le=1, description="share of lines that are short")
    short_line_characters: int = Field(default=30, ge=0, description="a line of at most as many is short")
    max_duplicate_line_characters: float = Field(default=0.1, ge=0, le=1, description="the published code has 0.01")
    max_newlines_per_word: float = Field(default=0.3, ge=0, description="of the published code; not in the paper")


class Lines(Section):
    """Line-wise corrections of RefinedWeb (Penedo et al. 2023, appendix G.2). The paper names the kinds of lines and
    the bound of 5 %, not the patterns. Content."""

    enabled: bool = False
    max_uppercase: float = Field(default=0.5, ge=0, le=1, description="lines with more of their letters in capitals go")
    numeric: bool = Field(default=True, description="remove lines of numbers alone")
    one_word: bool = Field(default=True, description="remove lines of one word")
    counters: list[str] = Field(
        default=[
            "likes", "like", "shares", "share", "comments", "comment", "replies", "reply", "views", "view", "followers",
            "follower", "following", "retweets", "retweet", "reposts", "posts", "votes", "vote", "upvotes", "points",
            "reactions", "downloads", "reviews", "ratings", "subscribers", "members", "photos", "videos", "answers",
        ],
        description='remove lines such as "3 likes": a number and one of these words',
    )  # fmt: skip
    max_edited_words: int = Field(default=10, ge=0, description="lines with more words are never edited")
    starts: list[str] = Field(
        default=["sign in", "sign-in", "sign up", "log in", "log-in", "skip to content", "skip to main content"],
        description="taken off the beginning of a short line",
    )
    ends: list[str] = Field(
        default=["read more...", "read more…", "read more", "continue reading", "show more", "see more", "learn more"],
        description="taken off the end of a short line",
    )
    inside: list[str] = Field(
        default=["items in cart", "item in cart", "add to cart", "share this:", "tweet this", "all rights reserved"],
        description="taken out of a short line wherever they stand",
    )
    max_removed_words: float = Field(default=0.05, ge=0, le=1, description="share of the words on lines so treated")
