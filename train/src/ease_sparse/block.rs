//! One book's regression on a few others: their block of the Gram matrix from their readers, and its solution.

use faer::{
    MatMut, Par, Spec,
    dyn_stack::{MemBuffer, MemStack},
    linalg::cholesky::llt::factor::{LltError, LltRegularization, cholesky_in_place, cholesky_in_place_scratch},
};

use crate::ease::design::Design;

/// Buffers of one thread.
pub(super) struct Block {
    /// How many of the block's books each reader has, and then where the reader's entries begin; zero between blocks.
    starts: Vec<u32>,
    /// How many entries of each reader are written; zero between blocks.
    filled: Vec<u32>,
    /// Readers of any book of the block.
    readers: Vec<u32>,
    /// Places in the block and values, grouped by reader.
    entries: Vec<(u32, f32)>,
    /// Lower triangle by columns, the target last.
    matrix: Vec<f32>,
    memory: MemBuffer,
    /// For the choice of what is kept.
    pub(super) keys: Vec<u64>,
}

impl Block {
    pub(super) fn new(n_readers: usize) -> Self {
        Self {
            starts: vec![0; n_readers],
            filled: vec![0; n_readers],
            readers: Vec::new(),
            entries: Vec::new(),
            matrix: Vec::new(),
            memory: MemBuffer::new(cholesky_in_place_scratch::<f32>(0, Par::Seq, Spec::default())),
            keys: Vec::new(),
        }
    }

    /// Weights of `books` in the regression of book `target` on them, in scaled columns; shape `(books.len(),)`.
    ///
    /// `squares` are the diagonal of `X'X`. The target borders the block as its last row, so that one Cholesky
    /// factorisation leaves there the right side already carried through the lower triangle.
    pub(super) fn regress(
        &mut self,
        design: &Design,
        squares: &[f32],
        books: &[u32],
        target: usize,
    ) -> Result<Vec<f32>, LltError> {
        let n = books.len();
        let side = n + 1;
        self.sum(design, squares, books, target);
        let scratch = cholesky_in_place_scratch::<f32>(side, Par::Seq, Spec::default());
        if self.memory.len() < scratch.unaligned_bytes_required() {
            self.memory = MemBuffer::new(scratch);
        }
        let matrix = MatMut::from_column_major_slice_mut(&mut self.matrix, side, side);
        let stack = MemStack::new(&mut self.memory);
        cholesky_in_place(matrix, LltRegularization::default(), Par::Seq, stack, Spec::default())?;
        let mut weights: Vec<f32> = (0..n).map(|a| self.matrix[a * side + n]).collect();
        for a in (0..n).rev() {
            let column = &self.matrix[a * side..][..n];
            let carried = crate::linear::dot(&column[a + 1..], &weights[a + 1..]);
            weights[a] = (weights[a] - carried) / column[a];
        }
        Ok(weights)
    }

    /// Fills `matrix` with `X'X + lambda I` of `books` and `target`.
    fn sum(&mut self, design: &Design, squares: &[f32], books: &[u32], target: usize) {
        let side = books.len() + 1;
        let book = |place: usize| books.get(place).map_or(target, |book| *book as usize);
        self.readers.clear();
        let mut n_entries = 0;
        for place in 0..side {
            for reader in design.by_book.row(book(place)).0 {
                let count = &mut self.starts[*reader as usize];
                if *count == 0 {
                    self.readers.push(*reader);
                }
                *count += 1;
                n_entries += 1;
            }
        }
        let mut start = 0;
        for reader in &self.readers {
            let count = std::mem::replace(&mut self.starts[*reader as usize], start);
            start += count;
        }
        self.entries.clear();
        self.entries.resize(n_entries, (0, 0.0));
        self.matrix.clear();
        self.matrix.resize(side * side, 0.0);
        // From the last book to the first, each meets those after it in the lists of its readers: column by column.
        for place in (0..side).rev() {
            let column = &mut self.matrix[place * side..][..side];
            let (readers, values) = design.by_book.row(book(place));
            for (reader, value) in readers.iter().zip(values) {
                let start = self.starts[*reader as usize] as usize;
                let filled = &mut self.filled[*reader as usize];
                let end = start + *filled as usize;
                for (other, theirs) in &self.entries[start..end] {
                    column[*other as usize] += value * theirs;
                }
                self.entries[end] = (place as u32, *value);
                *filled += 1;
            }
            column[place] = squares[book(place)] + design.ridge;
            if design.centred {
                let own = design.means[book(place)];
                for (value, other) in column[place + 1..].iter_mut().zip(place + 1..) {
                    *value -= own * design.means[book(other)];
                }
            }
        }
        for reader in &self.readers {
            self.starts[*reader as usize] = 0;
            self.filled[*reader as usize] = 0;
        }
    }
}
