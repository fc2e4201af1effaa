"""Prints the SHA-256 of the files named on its command line; a program, so that it runs while its parent imports torch.

A line with a file's number says that it is begun, one with number and hash that it is done. It stops before the next
file once its standard input ends: the parent has enough, or is gone.
"""

import hashlib
import select
import sys


def main() -> None:
    """Hash until the files or the parent end."""
    for number, path in enumerate(sys.argv[1:]):
        if select.select([0], [], [], 0)[0]:
            return
        print(number, flush=True)
        digest, piece = hashlib.sha256(), memoryview(bytearray(1 << 20))
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib would take as long to load as a gigabyte
            while count := file.readinto(piece):
                digest.update(piece[:count])
        print(number, digest.hexdigest(), flush=True)


if __name__ == "__main__":
    main()
