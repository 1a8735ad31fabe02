//! Whether a serialised bitmap (the portable Roaring format) has a subject, reading its head and one container.

use std::io;

use roaring::RoaringBitmap;

/// Without and with run containers.
const PLAIN: u32 = 12_346;
const WITH_RUNS: u32 = 12_347;
/// With runs, fewer containers than this have no offsets.
const OFFSETS_FROM: usize = 4;
/// More values than this are 65,536 bits, fewer a sorted list.
const ARRAY_MAX: usize = 4_096;
const BITS_BYTES: usize = 8_192;

/// Reads exactly the bytes at a place of the bitmap.
type ReadAt<'a> = &'a mut dyn FnMut(&mut [u8], u64) -> io::Result<()>;

/// Whether the bitmap of `len` bytes has one of the subjects.
pub(crate) fn has(read: ReadAt<'_>, len: u64, subjects: &[u32]) -> io::Result<bool> {
    let mut head = vec![0; len.min(4_096) as usize];
    read(&mut head, 0)?;
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let cookie = word(&head, 0).ok_or_else(wrong)?;
    let (count, keys_at) = match cookie & 0xffff {
        WITH_RUNS => ((cookie >> 16) as usize + 1, 4 + ((cookie >> 16) as usize + 1).div_ceil(8)),
        _ if cookie == PLAIN => (word(&head, 4).ok_or_else(wrong)? as usize, 8),
        _ => return Err(wrong()),
    };
    if count > 65_536 {
        return Err(wrong());
    }
    let has_runs = cookie != PLAIN;
    if has_runs && count < OFFSETS_FROM {
        // Three containers at most.
        let mut whole = vec![0; len as usize];
        read(&mut whole, 0)?;
        let set = RoaringBitmap::deserialize_from(&whole[..])?;
        return Ok(subjects.iter().any(|subject| set.contains(*subject)));
    }
    let offsets_at = keys_at + 4 * count;
    let head_bytes = offsets_at + 4 * count;
    if head.len() < head_bytes {
        if (head_bytes as u64) > len {
            return Err(wrong());
        }
        head = vec![0; head_bytes];
        read(&mut head, 0)?;
    }
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    for subject in subjects {
        let (key, value) = ((subject >> 16) as u16, *subject as u16);
        let at = partition(count, |at| half(keys_at + 4 * at) < key);
        if at == count || half(keys_at + 4 * at) != key {
            continue;
        }
        let values = usize::from(half(keys_at + 4 * at + 2)) + 1;
        let offset = u64::from(word(&head, offsets_at + 4 * at).ok_or_else(wrong)?);
        let is_run = has_runs && head[4 + at / 8] >> (at % 8) & 1 == 1;
        if container_has(read, offset, is_run, values, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn container_has(read: ReadAt<'_>, offset: u64, is_run: bool, values: usize, value: u16) -> io::Result<bool> {
    if is_run {
        let mut count = [0; 2];
        read(&mut count, offset)?;
        let mut runs = vec![0; 4 * usize::from(u16::from_le_bytes(count))];
        read(&mut runs, offset + 2)?;
        let (runs, _) = runs.as_chunks::<4>();
        let start = |run: &[u8; 4]| u16::from_le_bytes([run[0], run[1]]);
        let after = runs.partition_point(|run| start(run) <= value);
        return Ok(after > 0
            && value - start(&runs[after - 1]) <= u16::from_le_bytes([runs[after - 1][2], runs[after - 1][3]]));
    }
    if values > ARRAY_MAX {
        let mut byte = [0];
        read(&mut byte, offset + u64::from(value) / 8)?;
        debug_assert!(usize::from(value) / 8 < BITS_BYTES);
        return Ok(byte[0] >> (value % 8) & 1 == 1);
    }
    let mut list = vec![0; 2 * values];
    read(&mut list, offset)?;
    let (list, _) = list.as_chunks::<2>();
    Ok(list.binary_search_by_key(&value, |bytes| u16::from_le_bytes(*bytes)).is_ok())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn partition(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &RoaringBitmap, candidates: impl Iterator<Item = u32>) {
        let mut bytes = Vec::new();
        set.serialize_into(&mut bytes).unwrap();
        let mut read = |into: &mut [u8], at: u64| {
            let found = bytes.get(at as usize..at as usize + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            into.copy_from_slice(found);
            Ok(())
        };
        for candidate in candidates {
            let found = has(&mut read, bytes.len() as u64, &[candidate]).unwrap();
            assert_eq!(found, set.contains(candidate), "{candidate}");
        }
    }

    #[test]
    fn a_look_into_the_bytes_agrees_with_the_bitmap_in_every_kind_of_container() {
        // Lists, bits and runs, in few containers and in many, also more than the first read has.
        let mut set: RoaringBitmap = (0..200_u32).map(|at| at * 7 + 3).collect();
        check(&set, 0..2_000);
        set.extend((65_536..131_072).filter(|at| at % 3 == 0));
        set.insert_range(200_000..300_000);
        set.extend([u32::MAX, u32::MAX - 65_536]);
        let edges = || (65_500..65_700).chain(199_900..200_100).chain(299_900..300_100).chain(u32::MAX - 3..=u32::MAX);
        set.remove_run_compression();
        check(&set, edges());
        assert!(set.optimize());
        check(&set, edges());
        let mut few = RoaringBitmap::new();
        few.insert_range(10..70_000);
        few.optimize();
        check(&few, [9, 10, 65_535, 65_536, 69_999, 70_000, 1_000_000].into_iter());
        let many: RoaringBitmap = (0..3_000_u32).map(|at| at << 16 | at).collect();
        check(&many, (0..3_002_u32).map(|at| at << 16 | at).chain((0..100).map(|at| at << 16)));
    }

    #[test]
    fn bytes_that_are_no_bitmap_are_an_error() {
        for bytes in [&b""[..], b"\0\0\0\0\0\0\0\0", b"\x3a\x30\0\0\xff\xff\xff\xff", b"\x3a\x30\0\0\x09\0\0\0"] {
            let mut read = |into: &mut [u8], at: u64| {
                let found = bytes.get(at as usize..at as usize + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(found);
                Ok(())
            };
            assert!(has(&mut read, bytes.len() as u64, &[1]).is_err());
        }
    }
}
