//! One model for us and for other servers: iALS of 64 factors, in a registry for `bookloop serve`, and beside it the
//! vectors of its books and readers for anything that can multiply.
//!
//! `bookloop-test-rival INTERACTIONS FOLDER`. In FOLDER: `store/`, whose tenant `shared` has the model in production;
//! `books.f32` and `readers.f32`, row by row, little-endian; `books.txt` and `readers.txt`, the rows' ids, one a line.

use std::{error::Error, fs, path::Path};

use bookloop_tests::produce;
use jiff::Timestamp;
use models::{BookRow, Scorer, artifact::MAX_HISTORY};
use train::{
    Algorithm, ials,
    read::{Input, Options, read_interactions},
};

const FACTORS: usize = 64;
const SEED: u64 = 7;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, interactions, folder] = arguments.as_slice() else { return Err("expected INTERACTIONS FOLDER".into()) };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let input = Input { name: interactions.clone(), reader: Box::new(fs::File::open(interactions)?) };
    let read = read_interactions([Ok(input)], Vec::new(), &Options::at(Timestamp::UNIX_EPOCH))?;
    let ials = Algorithm::Ials(ials::Params { factors: FACTORS, ..ials::Params::default() });
    let artifact = ials.fit(&read.dataset, SEED, &|_| ())?;
    let Scorer::Factors(factors) = artifact.scorer() else { return Err("iALS gave no factors".into()) };
    let readers = artifact.readers();

    write(
        &folder.join("books"),
        factors.books().iter().copied(),
        artifact.catalogue().books().map(|book| book.item_id().to_owned()),
    )?;
    let newest = |history: &[BookRow]| history[history.len().saturating_sub(MAX_HISTORY)..].to_vec();
    let vectors = readers.iter().flat_map(|(_, history)| factors.fold_in(&newest(history)));
    write(&folder.join("readers"), vectors, readers.iter().map(|(reader, _)| reader.to_owned()))?;

    let store = fs::canonicalize(folder)?.join("store");
    produce(&format!("file://{}", store.display()), "shared", &artifact).await;
    Ok(())
}

/// Numbers as `PATH.f32` and names as `PATH.txt`.
fn write(
    path: &Path,
    numbers: impl Iterator<Item = f32>,
    names: impl Iterator<Item = String>,
) -> Result<(), std::io::Error> {
    fs::write(path.with_extension("f32"), numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())?;
    fs::write(path.with_extension("txt"), names.map(|name| name + "\n").collect::<String>())
}
