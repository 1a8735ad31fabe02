"""Verifies the DKIM signatures of a mail with dkimpy, and prints each algorithm with what came of it.

Usage: verify.py MAIL RECORDS. The records, one a line as name, tab, value, stand for the DNS.
"""

import sys

import dkim


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        mail = file.read()
    with open(sys.argv[2], encoding="ascii") as file:
        records = dict(line.rstrip("\n").split("\t") for line in file)

    def dns(name, timeout=5):
        return records.get(name.decode("ascii").rstrip("."), "").encode("ascii")

    for at, algorithm in enumerate(["ed25519-sha256", "rsa-sha256"]):
        try:
            verified = dkim.DKIM(mail).verify(idx=at, dnsfunc=dns)
        except dkim.DKIMException:
            verified = False
        print(algorithm, verified)


main()
