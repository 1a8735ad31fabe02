"""An independent check of a ledger's proofs, with nothing but Python's standard library.

    verify.py inclusion KEY PROOF             an entry is in the log under a checkpoint that KEY signed
    verify.py consistency KEY OLD NEW HASHES  checkpoint NEW continues checkpoint OLD

KEY is what `cofferdam ledger key` prints. Written from RFC 8032, RFC 6962 and C2SP's signed-note, tlog-checkpoint and
tlog-proof, and from none of the product's code.
"""

import base64
import hashlib
import sys

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = point_add(total, point)
        point, scalar = point_add(point, point), scalar >> 1
    return total


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError("not a point")
    return (x if x & 1 == sign else P - x), y, 1, (x if x & 1 == sign else P - x) * y % P


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point_of(BASE_Y.to_bytes(32, "little"))


def is_signed(public, message, signature):
    if len(signature) != 64:
        return False
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = point_times(s, BASE), point_add(r, point_times(k, a))
    return s < Q and not (left[0] * right[2] - right[0] * left[2]) % P and not (left[1] * right[2] - right[1] * left[2]) % P


def checkpoint(key, note):
    """Size and root of a signed checkpoint."""
    name, key_id, encoded = key.strip().split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1, "the key is not of a log"
    expected = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    assert expected.hex() == key_id, "the key does not match its id"
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if (dash, signer, signature[:4]) == ("\u2014", name, expected) and is_signed(public[1:], text.encode(), signature[4:]):
            origin, size, root = text.splitlines()[:3]
            assert origin == name, "the checkpoint is of another log"
            return int(size), base64.b64decode(root)
    raise AssertionError("the checkpoint is not signed by the key")


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size):
    return 1 << (size - 1).bit_length() - 1


def root_from(leaf, index, size, path):
    """RFC 6962, 2.1.1, read backwards: the root that a path leads to."""
    if size == 1:
        assert not path, "the path is too long"
        return leaf
    middle = split(size)
    if index < middle:
        return node(root_from(leaf, index, middle, path[:-1]), path[-1])
    return node(path[-1], root_from(leaf, index - middle, size - middle, path[:-1]))


def roots_from(old, size, path, is_known, old_root):
    """RFC 6962, 2.1.2, read backwards: the old and the new root that a proof leads to."""
    if old == size:
        if is_known:
            assert not path, "the proof is too long"
            return old_root, old_root
        assert len(path) == 1, "the proof has not its length"
        return path[0], path[0]
    middle = split(size)
    if old <= middle:
        first, second = roots_from(old, middle, path[:-1], is_known, old_root)
        return first, node(second, path[-1])
    first, second = roots_from(old - middle, size - middle, path[:-1], False, old_root)
    return node(path[-1], first), node(path[-1], second)


def main(what, key, *files):
    texts = [open(file, encoding="utf-8").read() for file in files]
    if what == "inclusion":
        head, note = texts[0].split("\n\n", 1)
        magic, extra, index, *path = head.split("\n")
        assert magic == "c2sp.org/tlog-proof@v1", "not a proof"
        entry, index = base64.b64decode(extra.removeprefix("extra ")), int(index.removeprefix("index "))
        size, root = checkpoint(key, note)
        leaf = hashlib.sha256(b"\x00" + entry).digest()
        assert 0 <= index < size, "the entry is beyond the checkpoint"
        assert root_from(leaf, index, size, [base64.b64decode(line) for line in path]) == root, "another root"
        print(f"entry {index} of {size}")
    else:
        (old, old_root), (new, new_root) = checkpoint(key, texts[0]), checkpoint(key, texts[1])
        path = [base64.b64decode(line) for line in texts[2].split()]
        assert 0 < old <= new, "the old checkpoint is the newer one"
        assert roots_from(old, new, path, True, old_root) == (old_root, new_root), "another root"
        print(f"{new} continues {old}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, ValueError, IndexError) as error:
        sys.exit(f"not proved: {error}")
