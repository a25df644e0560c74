"""The report of a corpus: one HTML file without scripts, for people. Crawled text in it is hostile, and stays text."""
