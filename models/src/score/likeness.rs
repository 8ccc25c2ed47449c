//! How alike two books of one list are, for lists that should not tell one thing ten times.

use crate::{
    artifact::{Artifact, Scorer},
    id::BookRow,
    labels::Labels,
    top_k::Scored,
};

/// Likeness of two books that share an author, if nothing makes them more alike.
const SAME_AUTHOR: f32 = 0.6;
/// Sums side by side in a product; their order is a part of the result.
const LANES: usize = 8;

/// The candidates of one list, prepared to be compared.
pub(super) struct Likeness<'a> {
    rows: Vec<BookRow>,
    authors: &'a Labels,
    subjects: &'a Labels,
    /// One vector of length 1 a candidate, filled up with zeros to a multiple of [`LANES`]; none where the model has none.
    vectors: Vec<[f32; LANES]>,
    /// Groups of [`LANES`] of one vector.
    groups: usize,
}

impl<'a> Likeness<'a> {
    pub fn new(artifact: &'a Artifact, books: &[Scored]) -> Self {
        let rows: Vec<BookRow> = books.iter().map(|book| book.row).collect();
        let (vectors, groups) = vectors(artifact.scorer(), &rows);
        Self { rows, authors: artifact.authors(), subjects: artifact.subjects(), vectors, groups }
    }

    /// The greatest of: the cosine of the books' vectors, the Jaccard index of their subjects, and .6 for a shared
    /// author. In `[0, 1]`.
    pub fn of(&self, a: usize, b: usize) -> f32 {
        let of_vectors = self.cosine(a, b);
        let [a, b] = [self.rows[a], self.rows[b]];
        let shared_author = shared(self.authors.of(a), self.authors.of(b)) > 0;
        let author = if shared_author { SAME_AUTHOR } else { 0.0 };
        of_vectors.max(author).max(jaccard(self.subjects.of(a), self.subjects.of(b)))
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        let vector = |place: usize| &self.vectors[place * self.groups..(place + 1) * self.groups];
        let mut sums = [0.0_f32; LANES];
        for (x, y) in vector(a).iter().zip(vector(b)) {
            sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
        }
        sums.iter().sum::<f32>().clamp(0.0, 1.0)
    }
}

/// What a model knows of each book as a vector: factors, or what a spectral filter answers. Of a blend, the first
/// member's that has some.
fn vectors(scorer: &Scorer, rows: &[BookRow]) -> (Vec<[f32; LANES]>, usize) {
    let (values, d) = match scorer {
        Scorer::Factors(factors) => (factors.values(), factors.d()),
        Scorer::Spectral(spectral) => {
            (spectral.targets().to_slice().expect("targets are kept row by row"), spectral.q())
        }
        Scorer::Blend(blend) => {
            let each = blend.members().iter().map(|member| vectors(&member.scorer, rows));
            return each.into_iter().find(|(_, groups)| *groups > 0).unwrap_or_default();
        }
        Scorer::Popularity | Scorer::Neighbours(_) | Scorer::Sessions(_) => return (Vec::new(), 0),
    };
    let groups = d.div_ceil(LANES);
    let mut all = vec![[0.0; LANES]; groups * rows.len()];
    for (row, vector) in rows.iter().zip(all.chunks_exact_mut(groups)) {
        let values = &values[row.index() * d..][..d];
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // A book nothing is known of is like no other.
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        let places = vector.as_flattened_mut().iter_mut().zip(values);
        places.for_each(|(place, value)| *place = (f64::from(*value) * scale) as f32);
    }
    (all, groups)
}

/// Numbers in both, each list ascending without repeats.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().filter(|number| b.binary_search(number).is_ok()).count()
}

fn jaccard(a: &[u32], b: &[u32]) -> f32 {
    let both = shared(a, b);
    let either = a.len() + b.len() - both;
    if either == 0 { 0.0 } else { both as f32 / either as f32 }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{
        artifact::{Factors, Neighbours, Objective},
        blend::{Blend, Member},
        book::Book,
        catalogue::Catalogue,
        readers::Readers,
        spectral::Spectral,
    };

    /// Three books: 0 and 1 by Ann; subjects of 0 {x, y}, of 1 {y}, of 2 {x, y, z}.
    fn likeness(scorer: Scorer, a: usize, b: usize) -> f32 {
        let book = |id: &str, author: &str, subjects: &str| Book {
            authors: vec![author.into()],
            subjects: subjects.split(' ').map(str::to_owned).collect(),
            ..Book::bare(id.parse().unwrap())
        };
        let shop = Catalogue::new([book("a", "Ann", "x y"), book("b", "Ann", "y"), book("c", "Bob", "x y z")]);
        let model = Artifact::new(shop, vec![1.0; 3], scorer, Readers::new([])).unwrap();
        let books = [0, 1, 2].map(|row| Scored { row: BookRow(row), score: 0.0 });
        Likeness::new(&model, &books).of(a, b)
    }

    fn neighbours() -> Neighbours {
        Neighbours::new(3, vec![0, 1, 1, 1], vec![BookRow(1)], vec![0.5]).unwrap()
    }

    #[test]
    fn without_vectors_authors_and_subjects_decide() {
        // a and b: a shared author .6 beats 1 subject of 2; a and c: 2 of 3 subjects; b and c: 1 of 3.
        for scorer in [Scorer::Popularity, Scorer::Neighbours(neighbours())] {
            let got = [(0, 1), (0, 2), (2, 1)].map(|(a, b)| likeness(scorer.clone(), a, b));
            for (got, want) in got.iter().zip([0.6, 2.0 / 3.0, 1.0 / 3.0]) {
                assert!((got - want).abs() < 1e-6, "{got} {want}");
            }
        }
    }

    #[test]
    fn the_angle_between_factors_counts_where_it_is_the_most() {
        // (3, 4) and (4, 3): 24 / 25; (3, 4) and (-3, -4): below zero, so subjects count; nothing known: the same.
        let objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 1.0 };
        let vectors = array![[3.0, 4.0], [-3.0, -4.0], [4.0, 3.0]];
        let factors = Factors::new(vectors.clone(), array![1.0, 1.0], objective).unwrap();
        let spectral = Spectral::new(neighbours(), &array![[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], &vectors).unwrap();
        let members = [Scorer::Popularity, Scorer::Factors(factors.clone())];
        let blend = Blend::new(members.map(|scorer| Member { weight: 0.5, scorer }).into()).unwrap();
        for scorer in [Scorer::Factors(factors), Scorer::Spectral(spectral), Scorer::Blend(blend)] {
            let got = [(0, 2), (0, 1), (2, 1)].map(|(a, b)| likeness(scorer.clone(), a, b));
            for (got, want) in got.iter().zip([24.0 / 25.0, 0.6, 1.0 / 3.0]) {
                assert!((got - want).abs() < 1e-6, "{got} {want}");
            }
        }
    }
}
