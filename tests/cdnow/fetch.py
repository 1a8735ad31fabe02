"""Writes the CDNOW purchases (69,659 of 23,570 customers, January 1997 to June 1998) as a CSV file.

The data set comes inside the PyPI package `lifetimes`, which is downloaded by its hash and unpacked, not
installed. Usage: fetch.py OUT.csv; nothing is done when the file is already there and right.
"""

import csv
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

MEMBER = "lifetimes/datasets/CDNOW_master.txt"
MEMBER_SHA256 = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"
PURCHASES, CUSTOMERS = 69_659, 23_570


def read_master() -> bytes:
    requirements = pathlib.Path(__file__).with_name("requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "-r", requirements, "-d", folder], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)


def main(out: pathlib.Path) -> None:
    if out.is_file():
        with out.open(newline="") as file:
            if sum(1 for _ in file) == PURCHASES + 1:
                return
    master = read_master()
    found = hashlib.sha256(master).hexdigest()
    if found != MEMBER_SHA256:
        sys.exit(f"{MEMBER} has the hash {found}, expected {MEMBER_SHA256}")
    # Columns are padded with blanks; the first line names them.
    header, *rows = [line.split() for line in master.decode("ascii").splitlines() if line.strip()]
    customers = {row[0] for row in rows}
    if (len(rows), len(customers)) != (PURCHASES, CUSTOMERS):
        sys.exit(f"{len(rows)} purchases of {len(customers)} customers, expected {PURCHASES} of {CUSTOMERS}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    partial.rename(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
