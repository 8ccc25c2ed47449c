//! Arrays that are owned, or that are a part of a file's bytes.
//!
//! A trained model owns its arrays; a loaded model's large arrays are views into the artefact, so that loading a
//! mapped file copies nothing and the numbers stay pages of that file.

use std::{borrow::Cow, fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use safetensors::Dtype;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::id::BookRow;

/// A number that an artefact's file stores, little-endian. Every pattern of its bits is a value.
pub(crate) trait Stored: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static {
    /// Its name in the container.
    const DTYPE: Dtype;
}

impl Stored for u8 {
    const DTYPE: Dtype = Dtype::U8;
}

impl Stored for u32 {
    const DTYPE: Dtype = Dtype::U32;
}

impl Stored for i32 {
    const DTYPE: Dtype = Dtype::I32;
}

impl Stored for u64 {
    const DTYPE: Dtype = Dtype::U64;
}

impl Stored for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Stored for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl Stored for BookRow {
    const DTYPE: Dtype = Dtype::U32;
}

/// A read-only array; cheap to clone, as clones share the values.
#[derive(Clone)]
pub(crate) struct Shared<T>(Values<T>);

#[derive(Clone)]
enum Values<T> {
    Owned(Arc<Vec<T>>),
    /// Whole values of this machine's byte order at an address fit for them.
    View(Bytes),
}

impl<T: Stored> Shared<T> {
    /// The values stored in `bytes`, whose length must be a multiple of a value's size; `None` if it is not.
    ///
    /// A view where the machine can read them in place, which is little-endian and aligned; else a copy.
    pub fn from_stored(bytes: Bytes) -> Option<Self> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        let readable = cfg!(target_endian = "little") && <[T]>::ref_from_bytes(&bytes).is_ok();
        Some(if readable { Self(Values::View(bytes)) } else { copied(&bytes).into() })
    }
}

/// Values as a file stores them; a view of their memory where that is the same.
pub(crate) fn stored<T: Stored>(values: &[T]) -> Cow<'_, [u8]> {
    let bytes = values.as_bytes();
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytes)
    } else {
        Cow::Owned(bytes.chunks_exact(size_of::<T>()).flat_map(|value| value.iter().rev().copied()).collect())
    }
}

/// Decodes value by value, wherever they lie.
fn copied<T: Stored>(bytes: &[u8]) -> Vec<T> {
    let value = |stored: &[u8]| {
        let mut value = T::new_zeroed();
        let memory = value.as_mut_bytes();
        memory.copy_from_slice(stored);
        if cfg!(target_endian = "big") {
            memory.reverse();
        }
        value
    };
    bytes.chunks_exact(size_of::<T>()).map(value).collect()
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Values::Owned(Arc::new(values)))
    }
}

impl<T: Stored> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Values::Owned(values) => values,
            Values::View(bytes) => {
                <[T]>::ref_from_bytes(bytes).expect("size and address were checked when the view was made")
            }
        }
    }
}

impl<T: Stored + PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of a large model would fill any log.
        match &self.0 {
            Values::Owned(values) => write!(f, "{} values", values.len()),
            Values::View(bytes) => write!(f, "{} values of a file", bytes.len() / size_of::<T>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1.0, -2.0 and 0.5 as stored, behind `before` other bytes of one allocation.
    fn three_values(before: usize) -> Bytes {
        let values = [1.0_f32, -2.0, 0.5].into_iter().flat_map(f32::to_le_bytes);
        Bytes::from(std::iter::repeat_n(9, before).chain(values).collect::<Vec<u8>>()).slice(before..)
    }

    #[test]
    fn values_are_the_same_wherever_they_lie() {
        for before in 0..8 {
            let values = Shared::<f32>::from_stored(three_values(before)).unwrap();
            assert_eq!(values.to_vec(), vec![1.0, -2.0, 0.5], "{before} bytes before");
            assert_eq!(*stored(&values), *three_values(before));
        }
        assert!(Shared::<f32>::from_stored(three_values(0).slice(1..)).is_none(), "eleven bytes are not whole values");
    }

    #[test]
    fn aligned_values_are_not_copied() {
        let file = three_values(8);
        let aligned = file.as_ptr().addr().is_multiple_of(align_of::<f32>());
        let values = Shared::<f32>::from_stored(file.clone()).unwrap();
        let same_memory = std::ptr::addr_eq(values.as_ptr(), file.as_ptr());
        assert_eq!(same_memory, aligned && cfg!(target_endian = "little"));
    }
}
