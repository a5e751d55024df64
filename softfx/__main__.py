"""`python -m softfx` is the command line."""

import sys

from softfx.cli import main

if __name__ == "__main__":
    sys.exit(main())
