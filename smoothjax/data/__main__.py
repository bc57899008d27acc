"""`python -m smoothjax.data` is the command line of `smoothjax.datasets`.

The only place where this package imports that one. Whoever trains looks for the command where the data are read, and a
prepared folder or its errors name it so.
"""

import sys

from smoothjax.datasets.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
