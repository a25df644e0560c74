"""The front door: the `millrace` command, and what needs several rooms at once. Everything heavy is imported when used."""
