"""`python -m millrace`: the same as the `millrace` command."""

from millrace.cli import main

if __name__ == "__main__":
    main()
