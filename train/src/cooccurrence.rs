//! Which books are read by the same readers: the one kernel under item-kNN and RP3beta.
//!
//! `C_ij = sum over readers u of left(u, i) right(u, j)`, one row at a time with a dense accumulator; the number of
//! additions is the sum of squared reader degrees. The algorithms differ only in the values they put into the pairs
//! and in which entries they keep.

use models::{BookRow, Neighbours, artifact::Malformed, top_k::Scored};
use rayon::prelude::*;

use crate::matrix::Rows;

/// For each book `i` the `k` best entries of row `i` of `C`, scaled, best first by weight and then lower row.
///
/// `by_book` holds `left`, shape `(n_books, n_readers)`; `by_reader` holds `right`, shape `(n_readers, n_books)`.
/// `scale(i, j, c)` turns a sum into a weight; weights that are not above zero are left out, and so is `j = i`.
/// The result does not depend on the number of threads: every row is summed by one thread in ascending readers.
pub(crate) fn best_of_rows(
    by_book: &Rows,
    by_reader: &Rows,
    k: usize,
    scale: impl Fn(usize, usize, f32) -> f32 + Sync,
) -> Vec<Vec<Scored>> {
    let n_books = by_book.len();
    let scratch = || (vec![0.0_f32; n_books], Vec::<u32>::new(), Vec::<Scored>::new());
    let row = |(sums, touched, entries): &mut (Vec<f32>, Vec<u32>, Vec<Scored>), book: usize| {
        let (readers, lefts) = by_book.row(book);
        for (reader, left) in readers.iter().zip(lefts) {
            let (others, rights) = by_reader.row(*reader as usize);
            for (other, right) in others.iter().zip(rights) {
                let sum = &mut sums[*other as usize];
                if *sum == 0.0 {
                    touched.push(*other);
                }
                *sum += left * right;
            }
        }
        entries.clear();
        for other in touched.drain(..) {
            let score = scale(book, other as usize, std::mem::take(&mut sums[other as usize]));
            if other as usize != book && score > 0.0 {
                entries.push(Scored { row: BookRow(other), score });
            }
        }
        keep_best(entries, k);
        entries.as_slice().to_vec()
    };
    (0..n_books).into_par_iter().map_init(scratch, row).collect()
}

fn keep_best(entries: &mut Vec<Scored>, k: usize) {
    if entries.len() > k && k > 0 {
        entries.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
        entries.truncate(k);
    }
    entries.sort_unstable_by(|a, b| b.cmp(a));
}

/// Rows of kept entries as a stored model: entry `j` in list `i` is the weight from `i` to `j`.
pub(crate) fn by_source(lists: &[Vec<Scored>]) -> Result<Neighbours, Malformed> {
    let offsets = offsets(lists.iter().map(Vec::len));
    let n_entries = offsets[lists.len()] as usize;
    let (mut targets, mut weights) = (Vec::with_capacity(n_entries), Vec::with_capacity(n_entries));
    for list in lists {
        let mut list = list.clone();
        list.sort_unstable_by_key(|scored| scored.row);
        targets.extend(list.iter().map(|scored| scored.row));
        weights.extend(list.iter().map(|scored| scored.score));
    }
    Neighbours::new(lists.len(), offsets, targets, weights)
}

/// The same read the other way: entry `i` in list `j` is the weight from `i` to `j`.
pub(crate) fn by_target(lists: &[Vec<Scored>]) -> Result<Neighbours, Malformed> {
    let mut lengths = vec![0; lists.len()];
    lists.iter().flatten().for_each(|scored| lengths[scored.row.index()] += 1);
    let offsets = offsets(lengths.into_iter());
    let mut next = offsets.clone();
    let n_entries = offsets[lists.len()] as usize;
    let (mut targets, mut weights) = (vec![BookRow(0); n_entries], vec![0.0; n_entries]);
    // Targets come in ascending order, so they stand ascending within each source.
    for (target, list) in lists.iter().enumerate() {
        for scored in list {
            let place = &mut next[scored.row.index()];
            (targets[*place as usize], weights[*place as usize]) = (BookRow(target as u32), scored.score);
            *place += 1;
        }
    }
    Neighbours::new(lists.len(), offsets, targets, weights)
}

/// Where each list begins, and where the last one ends.
fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<u32> {
    let ends = lengths.scan(0, |end, length| {
        *end += length as u32;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}
