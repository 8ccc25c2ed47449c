//! All weights of the regression at once, from one inverse: of side books or of side readers, whichever is smaller.

use models::top_k::Scored;
use rayon::prelude::*;

use super::{design::Design, keep};
use crate::{
    error::Error,
    linear::{NotPositive, Symmetric},
};

/// Targets whose weights are worked out together from the readers' inverse.
const TARGETS: usize = 64;

/// The largest side that is inverted: 3.6 GB as a square, and hours rather than minutes on two cores beyond.
pub(crate) const MAX_SIDE: usize = 30_000;

/// The least share of a book that its regression may leave unexplained, `lambda / (lambda + |x_j|^2)` or more in exact
/// arithmetic. Below it, rounding in `f32` decides.
const SMALLEST_REST: f32 = 1e-5;

/// For each target book the sources kept.
pub(super) fn weights(design: &Design, neighbours: usize) -> Result<Vec<Vec<Scored>>, Error> {
    let (n_readers, n_books) = (design.by_reader.len(), design.by_book.len());
    let side = n_readers.min(n_books);
    if side > MAX_SIDE {
        let gigabytes = 4.0 * (side as f64).powi(2) / 1e9;
        return Err(Error::Setting {
            field: "algorithm",
            expected: "ease_sparse for more than 30000 readers and books: ease inverts a matrix of the smaller side",
            found: format!("ease for {n_readers} readers and {n_books} books, which takes {gigabytes:.1} GB"),
        });
    }
    let lists = if n_readers < n_books { by_readers(design, neighbours) } else { by_books(design, neighbours) };
    lists.map_err(|NotPositive| Error::Setting {
        field: "regularization",
        expected: "a ridge that single precision can tell from zero beside the readers of the most popular book",
        found: design.ridge.to_string(),
    })
}

/// `P = (X'X + lambda I)^-1` of side `n_books`; `b_ij = -P_ij / P_jj`.
pub(super) fn by_books(design: &Design, neighbours: usize) -> Result<Vec<Vec<Scored>>, NotPositive> {
    let mut matrix = Symmetric::from_rows(design.by_book.len(), |i, row| {
        design.gram_row(i, row);
        row[i] += design.ridge;
    });
    matrix.invert()?;
    let mut lists = Vec::with_capacity(matrix.n());
    for strip in 0..matrix.n_strips() {
        let mut rows = matrix.full_rows(strip);
        let kept = rows.par_chunks_mut(matrix.n()).zip(matrix.rows_of(strip)).map_init(Vec::new, |keys, (row, j)| {
            let rest = design.ridge * row[j];
            for value in row.iter_mut() {
                *value *= -design.ridge;
            }
            kept_of(design, row, (j, rest), neighbours, keys)
        });
        lists.extend(kept.collect::<Result<Vec<_>, NotPositive>>()?);
    }
    Ok(lists)
}

/// What is kept of the weights `b_ij = H_ij / rest` into book `j`, `H = I - lambda P` and `rest = lambda P_jj`.
fn kept_of(
    design: &Design,
    column: &mut [f32],
    (j, rest): (usize, f32),
    neighbours: usize,
    keys: &mut Vec<u64>,
) -> Result<Vec<Scored>, NotPositive> {
    if rest < SMALLEST_REST {
        return Err(NotPositive);
    }
    column.iter_mut().enumerate().for_each(|(i, value)| *value = design.between_books(i, j, *value / rest));
    Ok(keep::largest(column, j, neighbours, keys))
}

/// The same from `K = X X' + lambda I` of side `n_readers`: `lambda P = I - X' K^-1 X`.
///
/// With `H = X' K^-1 X` the weights are `b_ij = H_ij / (1 - H_jj)`, as [`kept_of`] has them. `X` being sparse, the two products take
/// `2 n_pairs (n_readers + n_books)` operations, little beside the inverse. Centring is `X = (I - ee') W S` with `e` the
/// unit vector of equal parts; `K^-1` maps `e` to `e / lambda`, so `X' K^-1 X = (W S)' (K^-1 - ee' / lambda) (W S)`.
pub(super) fn by_readers(design: &Design, neighbours: usize) -> Result<Vec<Vec<Scored>>, NotPositive> {
    let (n_readers, n_books) = (design.by_reader.len(), design.by_book.len());
    let inner = readers_inverse(design)?;
    let starts: Vec<usize> = (0..n_books).step_by(TARGETS).collect();
    let scratch =
        || (vec![0.0_f32; n_readers * TARGETS], vec![0.0_f32; n_readers], vec![0.0_f32; n_books * TARGETS], Vec::new());
    let lists = starts.into_par_iter().map_init(scratch, |(turned, line, columns, keys), start| {
        let targets = start..n_books.min(start + TARGETS);
        // Rows of `turned` are readers: K^-1 X for these targets.
        for (place, j) in targets.clone().enumerate() {
            line.fill(0.0);
            let (readers, values) = design.by_book.row(j);
            for (reader, value) in readers.iter().zip(values) {
                let row = &inner[*reader as usize * n_readers..][..n_readers];
                line.iter_mut().zip(row).for_each(|(sum, entry)| *sum += value * entry);
            }
            line.iter().enumerate().for_each(|(reader, sum)| turned[reader * TARGETS + place] = *sum);
        }
        for i in 0..n_books {
            let mut sums = [0.0_f32; TARGETS];
            let (readers, values) = design.by_book.row(i);
            for (reader, value) in readers.iter().zip(values) {
                let row = &turned[*reader as usize * TARGETS..][..TARGETS];
                sums.iter_mut().zip(row).for_each(|(sum, entry)| *sum += value * entry);
            }
            sums.iter().enumerate().for_each(|(place, sum)| columns[place * n_books + i] = *sum);
        }
        let kept = targets.zip(columns.chunks_mut(n_books)).map(|(j, column)| {
            let rest = 1.0 - column[j];
            kept_of(design, column, (j, rest), neighbours, keys)
        });
        kept.collect::<Result<Vec<_>, NotPositive>>()
    });
    Ok(lists.collect::<Result<Vec<_>, NotPositive>>()?.into_iter().flatten().collect())
}

/// `K^-1`, less `ee' / lambda` when centred; row-major.
fn readers_inverse(design: &Design) -> Result<Vec<f32>, NotPositive> {
    let n_readers = design.by_reader.len();
    // X X' = (I - ee') Y Y' (I - ee') with Y = W S: rows and columns of Y Y' less their means, plus the overall mean.
    let part = 1.0 / (n_readers as f64).sqrt();
    let toward = |reader: usize| -> f64 {
        let (books, values) = design.by_reader.row(reader);
        books.iter().zip(values).map(|(book, value)| f64::from(*value) * f64::from(design.means[*book as usize])).sum()
    };
    let along: Vec<f32> = (0..n_readers).map(|reader| (part * toward(reader)) as f32).collect();
    let overall = (part * part * design.means.iter().map(|m| f64::from(*m).powi(2)).sum::<f64>()) as f32;
    let mut matrix = Symmetric::from_rows(n_readers, |u, row| {
        let (books, lefts) = design.by_reader.row(u);
        for (book, left) in books.iter().zip(lefts) {
            let (readers, rights) = design.by_book.row(*book as usize);
            for (reader, right) in readers.iter().zip(rights) {
                let Some(sum) = row.get_mut(*reader as usize) else { break };
                *sum += left * right;
            }
        }
        if design.centred {
            let own = along[u] - overall;
            row.iter_mut().zip(&along).for_each(|(sum, other)| *sum -= own + other);
        }
        row[u] += design.ridge;
    });
    matrix.invert()?;
    let mut inverse = matrix.into_square();
    if design.centred {
        let off = (part * part / f64::from(design.ridge)) as f32;
        inverse.par_iter_mut().for_each(|value| *value -= off);
    }
    Ok(inverse)
}
