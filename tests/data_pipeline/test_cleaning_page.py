"""The page on cleaning holds the table of rules as they are. `python -m tests.data_pipeline.test_cleaning_page` writes it."""

from pathlib import Path

from configs.schema.clean import Clean
from data_pipeline.clean import rules

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cleaning.md"
BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"


def table() -> str:
    clean = Clean()
    rows = ["| rule | refuses a document whose | default | source |", "|---|---|---|---|"]
    for rule in rules.RULES:
        for name, sign in ((rule.low, "<"), (rule.high, ">")):
            if name is not None:
                value = getattr(getattr(clean, rule.section), name)
                mark = " ¹" if rule.scope == "spaced" else ""
                bound = f"`{rule.section}.{name}`"
                rows.append(f"| `{rule.reason}`{mark} | `{rule.signal}` {sign} {bound} | {value} | {rule.source} |")
    return "\n".join(rows) + "\n"


def test_the_page_holds_the_rules_with_their_signals_defaults_and_sources():
    text = PAGE.read_text(encoding="utf-8")
    held = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert held == table(), "python -m tests.data_pipeline.test_cleaning_page writes the table anew"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page[: page.index(BEGIN) + len(BEGIN)] + table() + page[page.index(END) :], encoding="utf-8")
