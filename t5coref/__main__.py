"""`python -m t5coref`."""

import sys

from t5coref.cli import main

if __name__ == "__main__":
    sys.exit(main())
