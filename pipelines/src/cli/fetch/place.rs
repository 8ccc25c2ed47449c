//! Files into a folder so that nobody ever finds half a version there: in one step where the folder is new, and with
//! the manifest last where it is there already and cannot be replaced, as a mounted one cannot.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ::models::{Manifest, registry::ORIGIN_FILE, signature::MANIFEST_FILE};
use bytes::Bytes;

use crate::exit;

/// Where files are written before they are in place: beside a new folder, inside one that is there.
const STAGING: &str = ".bookloop-fetch";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// The files were written.
    New,
    /// They were there, each as it should be.
    Before,
}

/// Puts the files of a version, the manifest last, into `folder` once `check` has passed them.
///
/// Anything in the folder that is no version's is an error, and then the folder stays as it is. May be broken off at any
/// moment and repeated.
pub(super) fn place(
    files: &[(String, Bytes)],
    folder: &Path,
    check: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Placed> {
    let failed = |error| unavailable(folder, &error);
    let folder = std::path::absolute(folder).map_err(failed)?;
    match fs::metadata(&folder) {
        Ok(found) if !found.is_dir() => return Err(refused(&folder, "expected a folder, found a file")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return appear(files, &folder, check),
        Err(error) => return Err(failed(error)),
    }
    let earlier = earlier(&folder);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let known = |path: &str| Path::new(path).iter().next() == Some(name.as_os_str());
        if !files.iter().any(|(path, _)| known(path)) && !earlier.iter().any(|path| known(path)) && name != STAGING {
            return Err(refused(&folder, &format!("expected an empty folder or a version, found {}", name.display())));
        }
    }
    if files.iter().all(|(path, bytes)| fs::read(folder.join(path)).is_ok_and(|found| found == *bytes)) {
        return Ok(Placed::Before);
    }
    let staging = staged(files, folder.join(STAGING), &folder, check)?;
    replace(files, &earlier, &folder, &staging.files).map_err(failed)?;
    staging.end().map_err(failed)?;
    Ok(Placed::New)
}

/// A new folder: written beside its place, then moved there.
fn appear(
    files: &[(String, Bytes)],
    folder: &Path,
    check: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Placed> {
    let failed = |error| unavailable(folder, &error);
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(refused(folder, "expected a folder in another"));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(STAGING);
    let staging = staged(files, parent.join(beside), folder, check)?;
    fs::rename(&staging.files, folder).and_then(|()| File::open(parent)?.sync_all()).map_err(failed)?;
    staging.end().map_err(failed)?;
    Ok(Placed::New)
}

/// The files, written, checked, and not in place yet.
fn staged(
    files: &[(String, Bytes)],
    root: PathBuf,
    folder: &Path,
    check: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Staging> {
    let failed = |error| unavailable(folder, &error);
    let staging = Staging::begin(root).map_err(failed)?;
    match staging.fill(files).map_err(failed).and_then(|()| check(&staging.files)) {
        Ok(()) => Ok(staging),
        Err(error) => {
            // The first error is the one to report.
            let _ = staging.end();
            Err(error)
        }
    }
}

/// Moves files into a folder that holds nothing or an earlier version. Without its manifest it holds none.
fn replace(files: &[(String, Bytes)], earlier: &BTreeSet<String>, folder: &Path, staged: &Path) -> io::Result<()> {
    let kept = |path: &String| files.iter().any(|(kept, _)| kept == path);
    let stale = earlier.iter().filter(|path| !kept(path)).map(String::as_str);
    for path in std::iter::once(MANIFEST_FILE).chain(stale) {
        absent(fs::remove_file(folder.join(path)))?;
    }
    File::open(folder)?.sync_all()?;
    for (path, _) in files {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().expect("a path below a folder has one"))?;
        fs::rename(staged.join(path), to)?;
    }
    File::open(folder)?.sync_all()
}

/// The files that an earlier fetch put there, by what they are called: what its manifest lists, and what is beside it.
fn earlier(folder: &Path) -> BTreeSet<String> {
    let manifest = fs::read(folder.join(MANIFEST_FILE)).unwrap_or_default();
    let manifest = serde_json::from_slice::<Manifest>(&manifest).ok().filter(|manifest| manifest.check().is_ok());
    let listed = manifest.into_iter().flat_map(|manifest| manifest.files).map(|file| file.path);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let of_a_signature =
        |name: &String| name.strip_suffix(".sig").is_some_and(|stem| stem == "model" || stem.starts_with("model."));
    let signatures = names.filter(of_a_signature);
    listed.chain(signatures).chain([MANIFEST_FILE, ORIGIN_FILE].map(String::from)).collect()
}

/// A place that one process at a time writes to. What a broken-off one left there is thrown away.
struct Staging {
    root: PathBuf,
    files: PathBuf,
    lock: File,
}

impl Staging {
    fn begin(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        let path = root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
        let busy = || io::Error::new(ErrorKind::WouldBlock, format!("another fetch is at work in {}", root.display()));
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => busy(),
            TryLockError::Error(error) => error,
        })?;
        // Who held the lock may have been done with the place before it was ours.
        let is_there =
            fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
        if !is_there {
            return Err(busy());
        }
        let files = root.join("files");
        absent(fs::remove_dir_all(&files))?;
        fs::create_dir(&files)?;
        Ok(Self { root, files, lock })
    }

    fn fill(&self, files: &[(String, Bytes)]) -> io::Result<()> {
        for (path, bytes) in files {
            let at = self.files.join(path);
            fs::create_dir_all(at.parent().expect("a path below a folder has one"))?;
            let mut file = File::create_new(&at)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        File::open(&self.files)?.sync_all()
    }

    /// Leaves nothing behind, save where the next one is at work already.
    fn end(self) -> io::Result<()> {
        absent(fs::remove_dir_all(&self.files))?;
        fs::remove_file(self.root.join("lock"))?;
        drop(self.lock);
        match fs::remove_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            done => absent(done),
        }
    }
}

/// Done, also where there was nothing.
fn absent(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn refused(folder: &Path, words: &str) -> anyhow::Error {
    exit::coded(exit::BAD_INPUT, format!("{}: {words}", folder.display()))
}

fn unavailable(folder: &Path, error: &io::Error) -> anyhow::Error {
    exit::coded(exit::UNAVAILABLE, format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a version, each with its own text.
    fn version(texts: &[(&str, &'static str)]) -> Vec<(String, Bytes)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), Bytes::from_static(text.as_bytes()))).collect()
    }

    fn seven() -> Vec<(String, Bytes)> {
        version(&[("model.sig", "s"), ("model.safetensors", "m"), ("more/notes.txt", "n"), ("manifest.json", "{}")])
    }

    /// A version with two signatures.
    const EARLIER: [(&str, &str); 4] =
        [("manifest.json", "{}"), ("model.1.sig", "newer"), ("model.safetensors", "m"), ("model.sig", "s")];

    /// The one after it.
    fn next() -> Vec<(String, Bytes)> {
        version(&[("model.sig", "t"), ("model.safetensors", "n"), ("manifest.json", "{ }")])
    }

    /// The check of these tests: the manifest was written too.
    fn passes(staged: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(staged.join(MANIFEST_FILE).is_file(), "nothing is checked before all is there");
        Ok(())
    }

    /// The files below a folder with their text, hidden ones too.
    fn found(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
            if path.is_dir() {
                found.extend(self::found(&path).into_iter().map(|below| format!("{name}/{below}")));
            } else {
                found.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    const SEVEN: [&str; 4] = ["manifest.json={}", "model.safetensors=m", "model.sig=s", "more/notes.txt=n"];

    #[test]
    fn a_new_folder_appears_whole_and_nothing_is_left_beside_it() {
        let here = tempfile::tempdir().unwrap();
        let to = here.path().join("in/v7");
        assert_eq!(place(&seven(), &to, passes).unwrap(), Placed::New);
        assert_eq!(found(&to), SEVEN);
        assert_eq!(fs::read_dir(here.path().join("in")).unwrap().count(), 1);
        assert_eq!(place(&seven(), &to, |_| panic!("nothing is written")).unwrap(), Placed::Before);
    }

    #[test]
    fn what_does_not_pass_is_not_placed() {
        let here = tempfile::tempdir().unwrap();
        for to in ["new", "there"] {
            let to = here.path().join(to);
            if to.ends_with("there") {
                place(&version(&EARLIER), &to, passes).unwrap();
            }
            let error = place(&next(), &to, |_| anyhow::bail!("it cannot be read")).unwrap_err();
            assert_eq!(error.to_string(), "it cannot be read");
        }
        let all: Vec<String> = EARLIER.iter().map(|(path, text)| format!("there/{path}={text}")).collect();
        assert_eq!(found(here.path()), all, "as it was");
    }

    #[test]
    fn a_folder_that_is_there_gets_the_version_and_loses_what_a_broken_off_fetch_left() {
        let mounted = tempfile::tempdir().unwrap();
        let to = mounted.path();
        fs::create_dir_all(to.join(STAGING).join("files")).unwrap();
        fs::write(to.join(STAGING).join("files/model.safetensors"), "half").unwrap();
        fs::write(to.join("model.sig"), "moved before the end").unwrap();
        assert_eq!(place(&seven(), to, passes).unwrap(), Placed::New);
        assert_eq!(found(to), SEVEN);
        fs::write(to.join("model.safetensors"), "x").unwrap();
        assert_eq!(place(&seven(), to, passes).unwrap(), Placed::New, "a damaged byte is mended");
        assert_eq!(found(to), SEVEN);
    }

    #[test]
    fn an_earlier_version_is_replaced_with_all_its_signatures() {
        let mounted = tempfile::tempdir().unwrap();
        place(&version(&EARLIER), mounted.path(), passes).unwrap();
        assert_eq!(place(&next(), mounted.path(), passes).unwrap(), Placed::New);
        assert_eq!(found(mounted.path()), ["manifest.json={ }", "model.safetensors=n", "model.sig=t"]);
    }

    #[test]
    fn what_is_no_versions_stays_as_it_is() {
        let full = tempfile::tempdir().unwrap();
        fs::write(full.path().join("theirs"), "").unwrap();
        let error = place(&seven(), full.path(), passes).unwrap_err();
        assert!(error.to_string().ends_with("expected an empty folder or a version, found theirs"), "{error}");
        assert_eq!((exit::code(&error), found(full.path())), (exit::BAD_INPUT, vec!["theirs=".to_owned()]));
        let error = place(&seven(), &full.path().join("theirs"), passes).unwrap_err();
        assert!(error.to_string().ends_with("expected a folder, found a file"), "{error}");
    }

    #[test]
    fn two_do_not_write_to_one_place() {
        let here = tempfile::tempdir().unwrap();
        let to = here.path().join("v7");
        let first = Staging::begin(here.path().join(".v7.bookloop-fetch")).unwrap();
        let error = place(&seven(), &to, passes).unwrap_err();
        assert!(error.to_string().contains("another fetch is at work"), "{error}");
        assert_eq!((exit::code(&error), to.exists()), (exit::UNAVAILABLE, false));
        first.end().unwrap();
        place(&seven(), &to, passes).unwrap();
    }
}
