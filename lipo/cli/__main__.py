"""``python -m lipo.cli``: the command line where the console script is not on the path, as in a job."""

from lipo.cli import main

if __name__ == "__main__":
    main()
