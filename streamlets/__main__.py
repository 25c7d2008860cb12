"""`python -m streamlets` is the `streamlets` command."""

from streamlets.cli.main import main

if __name__ == "__main__":
    main()
