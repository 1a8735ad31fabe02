//! The tree and the entries as files, as C2SP `tlog-tiles` has them: 256 hashes or entries a file, those at the right
//! edge in a partial file per published size. Any client of that format can read the folder.
//!
//! Tiles and bundles are derived: what is not yet in a full and durable one is in the journal.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Keep, replace};
use crate::tree::{Frontier, Hash, Subtrees, fold, leaf};
use crate::{Error, Result};

pub(crate) const WIDTH: u64 = 256;

/// A number as three digits a folder: 1234067 is `x001/x234/067`.
fn digits(number: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn path(kind: &str, index: u64, width: u64) -> String {
    match width {
        WIDTH => format!("tile/{kind}/{}", digits(index)),
        _ => format!("tile/{kind}/{}.p/{width}", digits(index)),
    }
}

/// Where a tile lies, from the ledger's folder. A width of 256 is a full one.
pub(crate) fn tile_path(level: u32, index: u64, width: u64) -> String {
    path(&level.to_string(), index, width)
}

pub(crate) fn bundle_path(index: u64, width: u64) -> String {
    path("entries", index, width)
}

/// The right edge of the tree, in memory, and the full files that are not written yet.
#[derive(Default)]
pub(crate) struct Edge {
    frontier: Frontier,
    /// By level, the hashes of the tile that is not full.
    levels: Vec<Vec<Hash>>,
    /// The bundle that is not full.
    bundle: Vec<u8>,
    full: VecDeque<FullFile>,
}

struct FullFile {
    path: String,
    bytes: Vec<u8>,
}

impl Edge {
    /// The edge at `base`, a multiple of 256, from the full tiles left of it.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path, base: u64) -> Result<Edge> {
        debug_assert_eq!(base % WIDTH, 0);
        let tiles = Tiles::new(disk, folder, base);
        let mut edge = Edge { levels: vec![Vec::new()], ..Edge::default() };
        // Each open hash is the top of a full tile of the level below: partial tiles may be of another size, or gone.
        let mut below = 0;
        while base >> (8 * below) >= WIDTH {
            let count = base >> (8 * (below + 1));
            let open = (count - count % WIDTH..count).map(|index| Ok(fold(&tiles.tile(below, index)?)));
            edge.levels.push(open.collect::<Result<_>>()?);
            below += 1;
        }
        for (level, hashes) in edge.levels.iter().enumerate().rev() {
            hashes.iter().for_each(|hash| edge.frontier.push_subtree(*hash, level as u32 * 8));
        }
        Ok(edge)
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    pub(crate) fn push(&mut self, entry: &[u8]) {
        let hash = leaf(entry);
        self.frontier.push(hash);
        self.bundle.extend((entry.len() as u16).to_be_bytes());
        self.bundle.extend_from_slice(entry);
        let mut up = hash;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(up);
            if self.levels[level].len() < WIDTH as usize {
                return;
            }
            let index = (self.frontier.size() >> (8 * (level + 1))) - 1;
            if level == 0 {
                let bytes = std::mem::take(&mut self.bundle);
                self.full.push_back(FullFile { path: bundle_path(index, WIDTH), bytes });
            }
            let hashes = std::mem::take(&mut self.levels[level]);
            up = fold(&hashes);
            self.full.push_back(FullFile { path: tile_path(level as u32, index, WIDTH), bytes: hashes.concat() });
            level += 1;
        }
    }

    /// Writes what is full, and the partial files of the present size. Can be repeated after an error. The paths of
    /// the full files are added to `written`: they are not durable yet.
    pub(crate) fn write(&mut self, disk: &dyn Disk, folder: &Path, written: &mut Vec<PathBuf>) -> io::Result<()> {
        while let Some(file) = self.full.front() {
            let path = folder.join(&file.path);
            replace(disk, &path, &file.bytes, Keep::Derived)?;
            let partial = folder.join(format!("{}.p", file.path));
            if !disk.list(&partial)?.is_empty() {
                disk.remove_folder(&partial)?;
            }
            written.push(path);
            self.full.pop_front();
        }
        let size = self.frontier.size();
        if !self.bundle.is_empty() {
            replace(disk, &folder.join(bundle_path(size / WIDTH, size % WIDTH)), &self.bundle, Keep::Derived)?;
        }
        for (level, hashes) in self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let path = tile_path(level as u32, size >> (8 * (level + 1)), hashes.len() as u64);
            replace(disk, &folder.join(path), &hashes.concat(), Keep::Derived)?;
        }
        Ok(())
    }
}

/// The tiles of a tree of `size` leaves, read as they are asked for.
pub struct Tiles<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    size: u64,
    /// The last tile of each level: who reads in order reads each once.
    last: RefCell<HashMap<u32, (u64, Vec<Hash>)>>,
}

impl<'a> Tiles<'a> {
    pub fn new(disk: &'a dyn Disk, folder: &'a Path, size: u64) -> Tiles<'a> {
        Tiles { disk, folder, size, last: RefCell::default() }
    }

    /// A full or partial file as the tree's size has it; a partial one may have become full since.
    fn read(&self, level: u32, index: u64, path: impl Fn(u64) -> String) -> Result<(Vec<u8>, u64)> {
        let at_level = self.size.checked_shr(8 * level).unwrap_or(0);
        let width = at_level.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let exact = self.folder.join(path(width));
        let found = match self.disk.read(&exact) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && width < WIDTH => {
                self.disk.read(&self.folder.join(path(WIDTH))).map_err(|_| error)
            }
            other => other,
        };
        Ok((found.map_err(Error::io("read the ledger", &exact))?, width))
    }

    /// The hashes of a tile that the size has.
    pub(crate) fn tile(&self, level: u32, index: u64) -> Result<Vec<Hash>> {
        if let Some((at, hashes)) = self.last.borrow().get(&level)
            && *at == index
        {
            return Ok(hashes.clone());
        }
        let (bytes, width) = self.read(level, index, |width| tile_path(level, index, width))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || (hashes.len() as u64) < width {
            return Err(Error::Damaged { what: format!("tile {} has not its length", tile_path(level, index, width)) });
        }
        let hashes = hashes[..width as usize].to_vec();
        self.last.borrow_mut().insert(level, (index, hashes.clone()));
        Ok(hashes)
    }

    /// The entries of a bundle that the size has. Damaged ones end it early: the caller misses them.
    pub(crate) fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>> {
        let (bytes, width) = self.read(0, index, |width| bundle_path(index, width))?;
        let (mut rest, mut entries) = (&bytes[..], Vec::with_capacity(width as usize));
        while let Some((len, after)) = rest.split_first_chunk::<2>() {
            let Some((entry, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))) else { break };
            entries.push(entry.to_vec());
            rest = after;
        }
        Ok(entries)
    }

    /// How many entries of a bundle the size has.
    pub(crate) fn width(&self, index: u64) -> u64 {
        (self.size - index * WIDTH).min(WIDTH)
    }
}

impl Subtrees for Tiles<'_> {
    type Error = Error;

    fn root(&self, height: u32, index: u64) -> Result<Hash> {
        let (level, within) = (height / 8, height % 8);
        let at = index << within;
        let hashes = self.tile(level, at / WIDTH)?;
        let from = (at % WIDTH) as usize;
        let complete = hashes.get(from..from + (1 << within));
        complete.map(fold).ok_or_else(|| Error::Damaged { what: format!("a tile of level {level} is too short") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;
    use crate::tree;

    #[test]
    fn paths_are_as_the_format_has_them() {
        assert_eq!(tile_path(0, 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(tile_path(2, 0, 17), "tile/2/000.p/17");
        assert_eq!(bundle_path(1000, 3), "tile/entries/x001/000.p/3");
    }

    #[test]
    fn a_tree_of_70_000_has_the_files_that_the_specification_lists_and_proves_from_them() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, folder) = (LocalDisk, folder.path());
        let mut edge = Edge::default();
        let mut leaves = Vec::new();
        for number in 0..70_000_u32 {
            edge.push(&number.to_be_bytes());
            leaves.push(leaf(&number.to_be_bytes()));
        }
        edge.write(&disk, folder, &mut Vec::new()).unwrap();
        let count = |level: &str| {
            let mut stack = vec![folder.join("tile").join(level)];
            let mut files = (0, Vec::new());
            while let Some(at) = stack.pop() {
                for entry in std::fs::read_dir(at).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        stack.push(path);
                    } else if path.to_string_lossy().contains(".p/") {
                        files.1.push(path.file_name().unwrap().to_string_lossy().into_owned());
                    } else {
                        files.0 += 1;
                    }
                }
            }
            files
        };
        assert_eq!(count("0"), (273, vec!["112".to_owned()]));
        assert_eq!(count("1"), (1, vec!["17".to_owned()]));
        assert_eq!(count("2"), (0, vec!["1".to_owned()]));
        assert_eq!(count("entries"), (273, vec!["112".to_owned()]));

        let tiles = Tiles::new(&disk, folder, 70_000);
        let head = edge.root();
        assert_eq!(tree::root(&tiles, 70_000).unwrap(), head);
        for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            let path = tree::inclusion_proof(&tiles, index, 70_000).unwrap();
            assert!(tree::verify_inclusion(leaves[index as usize], index, 70_000, &path, &head), "{index}");
        }
        for old in [1, 256, 300, 65_536, 69_000, 69_999] {
            let path = tree::consistency_proof(&tiles, old, 70_000).unwrap();
            let Ok(old_head) = tree::root(&leaves, old);
            assert!(tree::verify_consistency(old, &old_head, 70_000, &head, &path), "{old}");
        }
        assert_eq!(tiles.bundle(273).unwrap().len(), 112);
        // The same edge again from the full tiles alone.
        std::fs::remove_dir_all(folder.join("tile/1/001.p")).unwrap();
        std::fs::remove_dir_all(folder.join("tile/2")).unwrap();
        let mut again = Edge::read(&disk, folder, 273 * 256).unwrap();
        (273 * 256..70_000_u32).for_each(|number| again.push(&number.to_be_bytes()));
        assert_eq!((again.root(), &again.levels), (head, &edge.levels));
    }
}
