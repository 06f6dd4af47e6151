"""`python -m swegym`: the `swegym` command, where its script is not on the path."""

from swegym.cli import main

if __name__ == "__main__":
    main()
