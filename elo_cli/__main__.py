"""`python -m elo_cli` is `elo`."""

from elo_cli.cli.app import main

if __name__ == "__main__":
    main()
