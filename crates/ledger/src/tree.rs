//! The Merkle tree of RFC 6962 (section 2.1), over SHA-256.
//!
//! leaf = H(0x00 ‖ entry), node = H(0x01 ‖ left ‖ right); a tree of n leaves splits at the largest power of two
//! below n.

use aws_lc_rs::digest::{Context, SHA256};

pub type Hash = [u8; 32];

fn hash(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    parts.iter().for_each(|part| context.update(part));
    *context.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

pub fn leaf(entry: &[u8]) -> Hash {
    hash(0, &[entry])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(1, &[left, right])
}

/// The root of a tree that only grows: complete subtrees of falling size, so that adding a leaf is O(log n).
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first; their sizes are the bits of `size`.
    roots: Vec<Hash>,
}

impl Frontier {
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, mut leaf: Hash) {
        let mut size = self.size;
        while size & 1 == 1 {
            let left = self.roots.pop().expect("a set bit has a subtree");
            leaf = node(&left, &leaf);
            size >>= 1;
        }
        self.roots.push(leaf);
        self.size += 1;
    }

    /// The tree head; of no leaves it is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(first) = roots.next() else {
            return *aws_lc_rs::digest::digest(&SHA256, b"").as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        };
        roots.fold(*first, |right, left| node(left, &right))
    }
}

/// The root over leaves `from..to`, straight from the definition.
fn subtree(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Frontier::default().root(),
        [one] => *one,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node(&subtree(&leaves[..split]), &subtree(&leaves[split..]))
        }
    }
}

/// The audit path of leaf `index` in a tree of these leaves (RFC 6962, 2.1.1). `index` is below their number.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (mut path, sibling) = if index < split {
        (inclusion_proof(&leaves[..split], index), subtree(&leaves[split..]))
    } else {
        (inclusion_proof(&leaves[split..], index - split), subtree(&leaves[..split]))
    };
    path.push(sibling);
    path
}

/// Whether a path leads from a leaf to a root (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves and roots that Certificate Transparency implementations test with.
    #[test]
    fn roots_equal_the_known_vectors() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut frontier = Frontier::default();
        assert_eq!(hex(frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut roots = Vec::new();
        for entry in leaves {
            frontier.push(leaf(entry));
            roots.push(hex(frontier.root()));
        }
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
        for size in 1..40_usize {
            let leaves: Vec<Hash> = (0..size).map(|index| leaf(&[index as u8])).collect();
            let mut frontier = Frontier::default();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            assert_eq!(frontier.root(), subtree(&leaves));
            for index in 0..size {
                let path = inclusion_proof(&leaves, index);
                let verify = |leaf, at: usize| verify_inclusion(leaf, at as u64, size as u64, &path, &frontier.root());
                assert!(verify(leaves[index], index));
                assert!(!verify(leaf(b"other"), index));
                assert!(!verify_inclusion(leaves[index], size as u64, size as u64, &path, &frontier.root()));
                if size > 1 {
                    assert!(!verify(leaves[index], (index + 1) % size));
                }
            }
        }
    }
}
