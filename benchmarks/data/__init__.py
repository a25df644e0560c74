"""`millrace bench data`: how much each step from crawl to clean documents does per second of processor time."""
