"""`python -m tokenauction_cli` is `tokauction`."""

from .cli.app import main

if __name__ == "__main__":
    main()
