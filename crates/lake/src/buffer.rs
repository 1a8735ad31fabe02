//! Arrays of plain values that cannot change: mapped from a file or owned, read the same way.
//!
//! Invariant: the bytes are a whole number of values at an address that suits their type, so that reading
//! them as a slice cannot fail.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use bytemuck::Pod;
use bytes::Bytes;

/// An immutable array of plain values in the machine's own byte order. Cheap to clone.
pub struct Buffer<T> {
    bytes: Bytes,
    values: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// Reads bytes as values; `None` when they are not a whole number of them or badly aligned.
    pub fn from_bytes(bytes: Bytes) -> Option<Buffer<T>> {
        let fits = bytes.is_empty() || bytemuck::try_cast_slice::<u8, T>(&bytes).is_ok();
        fits.then_some(Buffer { bytes, values: PhantomData })
    }

    /// The values as they lie in memory.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // Nothing lies at the address of no bytes, and it need not be aligned.
        if self.bytes.is_empty() { &[] } else { bytemuck::cast_slice(&self.bytes) }
    }
}

struct Owned<T>(Vec<T>);

impl<T: Pod> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl<T: Pod + Send> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        Buffer { bytes: Bytes::from_owner(Owned(values)), values: PhantomData }
    }
}

impl<T: Pod + Send> FromIterator<T> for Buffer<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), values: PhantomData }
    }
}

impl<T: Pod + Send> Default for Buffer<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: Pod + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_bytes_that_do_not_fit_are_refused() {
        let values: Buffer<i64> = vec![1, i64::MIN, 3].into();
        assert_eq!(&values[..], [1, i64::MIN, 3]);
        let bytes = Bytes::copy_from_slice(&[0; 32]);
        let start = bytes.as_ptr().align_offset(8);
        assert_eq!(Buffer::<u64>::from_bytes(bytes.slice(start..start + 16)).unwrap().len(), 2);
        assert!(Buffer::<u64>::from_bytes(bytes.slice(start..start + 15)).is_none());
        assert!(Buffer::<u64>::from_bytes(bytes.slice(start + 1..start + 9)).is_none());
        assert!(Buffer::<u64>::from_bytes(bytes.slice(start + 1..start + 1)).unwrap().is_empty());
    }
}
