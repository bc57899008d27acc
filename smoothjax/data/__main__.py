"""`python -m smoothjax.data` is the command line of `smoothjax.datasets`.

Only this module of the package imports `smoothjax.datasets`. Users look for the command where data are read, and errors
about prepared folders name it this way.
"""

import sys

from smoothjax.datasets.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
