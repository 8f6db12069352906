"""The entry point of ``slipstream`` and of ``python -m slipstream``."""

import sys

from slipstream import cli


def main() -> int:
    """Run the command line and return the exit status."""
    return cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
