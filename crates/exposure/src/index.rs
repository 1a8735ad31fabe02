//! The index: follows the ledger entry by entry, keeps its place, and starts anew when something is not as it left it.
//!
//! Three files in a folder of its own: `records` and `unions`, which only grow (but for the end of a disclosure, which
//! is written into its record, and for what is erased), and `place`, written after the other two are durable: how far
//! they go, and which entry of which ledger was the last. What lies beyond is cut off and done again; every step can be
//! repeated.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cofferdam_ledger::disk::{Keep, LocalDisk, replace};
use cofferdam_ledger::{Kind, Recorded};
use cofferdam_model::sabotage;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::record::{By, Disclosure, End, Records, Subjects};
use crate::rollup::{Parts, RollUps, Union, key};
use crate::source::Source;
use crate::{Error, RADIX, Result};

/// Entries that are read at a time, and after how many the place is kept when there is nothing else to keep.
const BATCH: u64 = 256;
const KEEP_EVERY: u64 = 4_096;

/// The disclosures of one ledger.
pub struct Index {
    folder: PathBuf,
    radix: u32,
    source: Arc<dyn Source>,
    state: RwLock<State>,
}

/// What is in memory, and the files.
pub(crate) struct State {
    pub(crate) records: Records,
    pub(crate) unions: RollUps,
    pub(crate) radix: u32,
    /// Positions of disclosures with a set beside the ledger, by each thing they have in common, ascending.
    pub(crate) lists: FxHashMap<By, Vec<u32>>,
    /// Of them, those of which something was sent, and those whose set was erased.
    pub(crate) confirmed: RoaringBitmap,
    pub(crate) erased: RoaringBitmap,
    /// Entries that are in here.
    pub(crate) next: u64,
    /// Which ledger it is: the last of them.
    last: u64,
    kept: u64,
    is_changed: bool,
    folder: PathBuf,
}

impl Index {
    /// Opens the index of a ledger in a folder, or starts one.
    ///
    /// # Errors
    /// When the disk fails, or the ledger cannot be read.
    pub fn open(folder: &Path, source: Arc<dyn Source>) -> Result<Index> {
        Index::with_radix(folder, source, RADIX)
    }

    /// As [`Index::open`], with roll-ups of another width than [`RADIX`]: few disclosures have many levels then.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn with_radix(folder: &Path, source: Arc<dyn Source>, radix: u32) -> Result<Index> {
        std::fs::create_dir_all(folder).map_err(Error::io("create the folder of disclosures", folder))?;
        let state = match State::open(folder, radix, &*source)? {
            Some(state) => state,
            None => State::fresh(folder, radix)?,
        };
        Ok(Index { folder: folder.to_owned(), radix, source, state: RwLock::new(state) })
    }

    /// Takes in what the ledger has by now. Answers how many entries that are.
    ///
    /// # Errors
    /// When the ledger cannot be read or the disk fails; the index goes on from there the next time.
    pub fn follow(&self) -> Result<u64> {
        let size = self.source.size()?;
        if self.read().next >= size {
            return Ok(size);
        }
        let mut state = self.write();
        match state.follow(&*self.source, size) {
            Err(Error::Damaged { what }) => {
                self.start_anew(&mut state, what)?;
                state.follow(&*self.source, size)?;
            }
            other => other?,
        }
        Ok(size)
    }

    /// Asks something of everything that the ledger has by now.
    pub(crate) fn ask<T>(&self, question: impl Fn(&State, &dyn Source) -> Result<T>) -> Result<T> {
        if !sabotage::is_out(102) {
            self.follow()?;
        }
        let answer = question(&self.read(), &*self.source);
        match answer {
            Err(Error::Damaged { what }) => {
                self.start_anew(&mut self.write(), what)?;
                self.follow()?;
                question(&self.read(), &*self.source)
            }
            other => other,
        }
    }

    fn start_anew(&self, state: &mut State, what: &'static str) -> Result<()> {
        tracing::warn!("the index of disclosures is made anew: {what}");
        *state = State::fresh(&self.folder, self.radix)?;
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("never left half changed")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("never left half changed")
    }
}

/// How far the files go.
struct Place {
    radix: u32,
    records: u32,
    unions: u64,
    next: u64,
    last: u64,
}

const MAGIC: [u8; 4] = *b"CFXP";
const VERSION: u32 = 1;
const PLACE_BYTES: usize = 44;

impl Place {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend(self.radix.to_le_bytes());
        out.extend(self.records.to_le_bytes());
        [self.unions, self.next, self.last].iter().for_each(|number| out.extend(number.to_le_bytes()));
        let sum = crc32c::crc32c(&out);
        out.extend(sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Place> {
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        let is_right = bytes.len() == PLACE_BYTES
            && content.starts_with(&MAGIC)
            && content[4..8] == VERSION.to_le_bytes()
            && u32::from_le_bytes(*sum) == crc32c::crc32c(content);
        let short = |at: usize| content[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let long = |at: usize| content[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        is_right.then_some(())?;
        Some(Place { radix: short(8)?, records: short(12)?, unions: long(16)?, next: long(24)?, last: long(32)? })
    }
}

/// What tells an entry from that of another ledger.
fn print(recorded: &Recorded) -> u64 {
    twox_hash::XxHash3_128::oneshot(&recorded.encode()) as u64
}

impl State {
    /// What the folder has of this ledger; none when that is nothing, or not whole.
    fn open(folder: &Path, radix: u32, source: &dyn Source) -> Result<Option<State>> {
        let path = folder.join("place");
        let place = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => Place::decode(&other.map_err(Error::io("read the place of the index", &path))?),
        };
        let Some(place) = place.filter(|place| place.radix == radix) else { return Ok(None) };
        if place.next > 0 {
            if place.next > source.size()? {
                return Ok(None);
            }
            let last = source.entries(place.next - 1, place.next)?;
            if last.first().is_none_or(|last| print(last) != place.last) {
                return Ok(None);
            }
        }
        let opened: Result<State> = (|| {
            let mut state = State::of(
                folder,
                Records::open(&folder.join("records"), place.records)?,
                RollUps::open(&folder.join("unions"), place.unions)?,
                radix,
            );
            (state.next, state.kept, state.last) = (place.next, place.next, place.last);
            let State { records, lists, confirmed, erased, .. } = &mut state;
            records.scan(|position, disclosure| {
                list(lists, confirmed, erased, position, &disclosure);
                Ok(())
            })?;
            Ok(state)
        })();
        match opened {
            Err(Error::Damaged { what }) => {
                tracing::warn!("the index of disclosures is made anew: {what}");
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// An empty index, whatever the folder had.
    fn fresh(folder: &Path, radix: u32) -> Result<State> {
        for name in ["place", "records", "unions"] {
            let path = folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove what was damaged of the index", &path)(error));
                }
                _ => {}
            }
        }
        let (records, unions) = (Records::open(&folder.join("records"), 0)?, RollUps::open(&folder.join("unions"), 0)?);
        Ok(State::of(folder, records, unions, radix))
    }

    fn of(folder: &Path, records: Records, unions: RollUps, radix: u32) -> State {
        State {
            records,
            unions,
            radix,
            lists: FxHashMap::default(),
            confirmed: RoaringBitmap::new(),
            erased: RoaringBitmap::new(),
            next: 0,
            last: 0,
            kept: 0,
            is_changed: false,
            folder: folder.to_owned(),
        }
    }

    fn follow(&mut self, source: &dyn Source, size: u64) -> Result<()> {
        while self.next < size {
            let to = size.min(self.next + BATCH);
            let batch = source.entries(self.next, to)?;
            if batch.len() as u64 != to - self.next {
                return Err(cofferdam_ledger::Error::NoEntry { seq: self.next + batch.len() as u64 }.into());
            }
            for recorded in batch {
                self.take(source, &recorded)?;
            }
        }
        if self.is_changed || self.next - self.kept >= KEEP_EVERY {
            self.keep()?;
        }
        Ok(())
    }

    /// Makes everything durable, and then the place.
    fn keep(&mut self) -> Result<()> {
        self.unions.sync()?;
        self.records.sync()?;
        let place = Place {
            radix: self.radix,
            records: self.records.len(),
            unions: self.unions.bytes(),
            next: self.next,
            last: self.last,
        };
        let path = self.folder.join("place");
        let kept = replace(&LocalDisk, &path, &place.encode(), Keep::Durable);
        kept.map_err(Error::io("keep the place of the index", &path))?;
        (self.kept, self.is_changed) = (self.next, false);
        Ok(())
    }

    fn take(&mut self, source: &dyn Source, recorded: &Recorded) -> Result<()> {
        let (entry, about) = (&recorded.entry, recorded.entry.refers_to);
        let mut added = None;
        match (entry.kind, about) {
            (Kind::Intent, _) => {
                let disclosure = Disclosure::of(recorded);
                let position = self.records.push(&disclosure)?;
                list(&mut self.lists, &mut self.confirmed, &mut self.erased, position, &disclosure);
                added = Some(disclosure);
                self.is_changed = true;
            }
            (Kind::Done | Kind::Aborted, Some(about)) => {
                let end = End {
                    is_whole: entry.kind == Kind::Done,
                    rows: entry.count,
                    time_us: recorded.time_us,
                    seq: recorded.seq,
                };
                self.end(about, end)?;
            }
            (Kind::SubjectsErased, Some(about)) => self.erase(source, about)?,
            _ => {}
        }
        (self.next, self.last) = (recorded.seq + 1, print(recorded));
        // Without its roll-up a set is read by itself: a failure here is no reason to stop.
        if let Some(disclosure) = added.filter(|disclosure| matches!(disclosure.subjects, Subjects::Set(_)))
            && let Err(error) = self.roll_up(source, &disclosure)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "disclosures were not rolled up");
        }
        Ok(())
    }

    fn end(&mut self, seq: u64, end: End) -> Result<()> {
        let Ok(position) = self.records.find(seq)? else { return Ok(()) };
        let mut disclosure = self.records.read(position)?;
        disclosure.end(end);
        self.records.write(position, &disclosure)?;
        if disclosure.is_confirmed() && matches!(disclosure.subjects, Subjects::Set(_)) {
            self.confirmed.insert(position);
        }
        self.is_changed = true;
        Ok(())
    }

    /// Forgets whom a disclosure was about: in its record, and in every union that has them.
    fn erase(&mut self, source: &dyn Source, seq: u64) -> Result<()> {
        let Ok(position) = self.records.find(seq)? else { return Ok(()) };
        let mut disclosure = self.records.read(position)?;
        // Also of one that is unnamed already: a crash may have kept its record and not what follows.
        if !disclosure.inline().is_empty() {
            return Ok(());
        }
        let mut anew = Vec::new();
        for by in disclosure.all_by() {
            let Some(list) = self.lists.get(&by) else { continue };
            let Ok(at) = list.binary_search(&position) else { continue };
            for width in self.widths(list.len()) {
                let from = at - at % width;
                if let Some(members) = list.get(from..from + width) {
                    self.unions.erase(key(members))?;
                    anew.push(members.to_vec());
                }
            }
        }
        disclosure.subjects = Subjects::Gone;
        self.records.write(position, &disclosure)?;
        self.erased.insert(position);
        self.is_changed = true;
        // The small ones first: larger ones are made of them.
        anew.sort_by_key(Vec::len);
        for members in anew {
            self.unite(source, &members)?;
        }
        Ok(())
    }

    /// Widths of the unions that a list of so many can have: 64, 4,096, …
    pub(crate) fn widths(&self, len: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let radix = self.radix as usize;
        let widths: Vec<usize> = std::iter::successors(Some(radix), move |width| width.checked_mul(radix))
            .take_while(|width| *width <= len)
            .collect();
        widths.into_iter()
    }

    /// Unites what has become full with a disclosure that was just added.
    fn roll_up(&mut self, source: &dyn Source, disclosure: &Disclosure) -> Result<()> {
        for by in disclosure.all_by() {
            let list = &self.lists[&by];
            let full: Vec<Vec<u32>> = self
                .widths(list.len())
                .filter(|width| list.len().is_multiple_of(*width))
                .map(|width| list[list.len() - width..].to_vec())
                .collect();
            for members in full {
                self.unite(source, &members)?;
            }
        }
        Ok(())
    }

    fn unite(&mut self, source: &dyn Source, members: &[u32]) -> Result<()> {
        let key = key(members);
        if !self.unions.has(key)
            && let Some(union) = self.union(source, members)?
        {
            self.unions.write(key, union)?;
        }
        Ok(())
    }

    /// The union of some disclosures. None when a set is gone and no entry has said so yet: when one does, the union
    /// is made.
    fn union(&self, source: &dyn Source, members: &[u32]) -> Result<Option<Union>> {
        let mut union = Union { confirmed: Vec::with_capacity(members.len()), parts: Parts::default() };
        if members.len() > self.radix as usize {
            for group in members.chunks(members.len() / self.radix as usize) {
                let below = match self.unions.read(key(group))? {
                    Some(below) => Some(below),
                    None => self.union(source, group)?,
                };
                let Some(below) = below else { return Ok(None) };
                union.confirmed.extend(below.confirmed);
                union.parts.absorb(below.parts);
            }
            return Ok(Some(union));
        }
        for position in members {
            let disclosure = self.records.read(*position)?;
            union.confirmed.push(disclosure.is_confirmed());
            if let Subjects::Set(commit) = &disclosure.subjects {
                let Some(subjects) = source.set(commit)? else { return Ok(None) };
                union.parts.add(disclosure.project, disclosure.is_confirmed(), disclosure.fields, &subjects);
            }
        }
        Ok(Some(union))
    }
}

/// Puts a disclosure with a set into the lists of everything it can be asked for by. One whose set was erased keeps its
/// place in them, so that the groups of those after it stay the same.
fn list(
    lists: &mut FxHashMap<By, Vec<u32>>,
    confirmed: &mut RoaringBitmap,
    erased: &mut RoaringBitmap,
    position: u32,
    disclosure: &Disclosure,
) {
    if !disclosure.inline().is_empty() {
        return;
    }
    for by in disclosure.all_by() {
        lists.entry(by).or_default().push(position);
    }
    if disclosure.is_unnamed() {
        erased.insert(position);
    } else if disclosure.is_confirmed() {
        confirmed.insert(position);
    }
}
