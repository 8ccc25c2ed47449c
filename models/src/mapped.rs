//! A file as memory: pages the kernel reads when they are touched and may drop when memory is short.
//!
//! Apart from everything else because it is the one place of the project that the compiler cannot check.

use std::{fs::File, io, path::Path};

use bytes::Bytes;
use memmap2::Mmap;

/// The bytes of an immutable file, without reading it; `None` if there is no such file.
///
/// The file must never change while the bytes are held. Files that a store writes keep that: each is written under
/// another name and then linked or renamed into place, so that its content never changes in place, and a file that is
/// deleted or replaced stays whole for those who have it mapped. Somebody who truncates the file all the same makes
/// the next touch of a lost page end this process (SIGBUS), as does a network file system that loses the file; somebody
/// who writes into it changes numbers that were already verified.
pub(crate) fn file(path: &Path) -> io::Result<Option<Bytes>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    Ok(Some(Bytes::from_owner(map(&file)?)))
}

#[expect(unsafe_code, reason = "a mapping is sound only while nobody changes the file, which no type can say")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the memory is read only, and the caller promises that the file's content does not change while it is
    // held; see above for why that holds for the store's files and what happens where it does not.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_has_its_bytes_even_after_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, b"ten pages, or none").unwrap();
        let mapped = file(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&mapped[..], b"ten pages, or none");
        assert_eq!(file(&path).unwrap(), None);
    }

    #[test]
    fn an_empty_file_has_no_bytes_and_a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), b"").unwrap();
        assert_eq!(file(&folder.path().join("empty")).unwrap(), Some(Bytes::new()));
        assert_eq!(file(folder.path()).unwrap(), None);
    }
}
