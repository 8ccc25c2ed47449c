//! Where training data comes from: a file, a folder, or a prefix of a store, as one list of named byte streams.

use std::path::Path;

use models::Store;
use train::read::Input;

use crate::exit;

/// Files that are opened when their turn comes.
pub type Files = Box<dyn Iterator<Item = Result<Input, train::Error>> + Send>;

/// Every readable file at `place`: a path, a `file://` URL, or the URL of a store's object or folder.
///
/// In the order of their names. Local files are opened one at a time; the objects of a store are fetched at once.
pub async fn open(place: &str) -> anyhow::Result<Files> {
    match url::Url::parse(place) {
        Ok(url) if url.scheme() == "file" => {
            let path = url
                .to_file_path()
                .map_err(|()| exit::coded(exit::USAGE, format!("{place}: expected an absolute file:// path")))?;
            local(&path)
        }
        Ok(_) => from_store(place).await,
        Err(_) => local(place.as_ref()),
    }
}

fn local(path: &Path) -> anyhow::Result<Files> {
    if !path.exists() {
        return Err(exit::coded(exit::BAD_INPUT, format!("{}: no such file or folder", path.display())));
    }
    Ok(Box::new(train::read::local(path)?))
}

async fn from_store(url: &str) -> anyhow::Result<Files> {
    let unsplit = url.trim_end_matches('/');
    let parts = unsplit.rsplit_once('/').filter(|(folder, _)| !folder.ends_with('/'));
    if let Some((folder, file)) = parts
        && let Some(bytes) = Store::open(folder)?.get(file).await?
    {
        return Ok(Box::new(std::iter::once(Ok(Input::new(unsplit, std::io::Cursor::new(bytes))))));
    }
    let store = Store::open(unsplit)?;
    let mut inputs = Vec::new();
    for object in store.list("").await?.into_iter().filter(|object| train::read::is_supported(&object.key)) {
        if let Some(bytes) = store.get(&object.key).await? {
            inputs.push(Ok(Input::new(format!("{unsplit}/{}", object.key), std::io::Cursor::new(bytes))));
        }
    }
    if inputs.is_empty() {
        return Err(exit::coded(exit::BAD_INPUT, format!("{url}: no readable file")));
    }
    Ok(Box::new(inputs.into_iter()))
}
