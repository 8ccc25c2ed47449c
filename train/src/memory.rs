//! How much memory a fit may take, told before it begins.
//!
//! Each bound is the sum of what a fit holds at its worst moment, worked out from its arrays; a test with a counting
//! allocator holds every algorithm to its own. Sizes in bytes; `n` interactions of `U` readers with `B` books.

use models::BookRef;

use crate::{
    algorithm::Algorithm, blend, dataset::Dataset, ease, ease_sparse, features::Features, ials, linear::Symmetric,
    spectral,
};

/// What one thread may keep for dense products once it has made any, whatever the data: room for packed panels.
const PER_THREAD: u64 = 72 << 20;

/// The memory of a fit, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The most it holds at once, besides the data set it reads.
    pub peak: u64,
    /// What is left of that when it is done: the model, without the room that threads keep for the next one.
    pub model: u64,
}

impl Algorithm {
    /// At most so much memory is taken by [`Self::fit`] and [`Self::fit_from`] on the threads of the current pool.
    ///
    /// A bound, not an estimate: where books share few readers a fit takes much less. Settings that a fit would refuse are
    /// bounded like the nearest ones it accepts.
    pub fn need(&self, dataset: &Dataset) -> Need {
        let extent = Extent::of(dataset);
        let Need { peak, model } = self.need_of_scorer(dataset, extent);
        // The histories are collected and stored beside the finished scorer.
        let Extent { n, readers, books, text, threads, .. } = extent;
        let collected = 20 * n + 130 * readers + 3 * text + 12 * books;
        let stored = 8 * n + 40 * readers + 2 * text + 4 * books;
        Need { peak: peak.max(model + collected) + threads * PER_THREAD, model: model + stored }
    }

    fn need_of_scorer(&self, dataset: &Dataset, extent: Extent) -> Need {
        match self {
            Self::Popularity(_) => Need { peak: 0, model: 0 },
            Self::ItemKnn(params) => extent.lists_of_rows(params.neighbours, extent.matrix()),
            // The walk's two directions have values of their own.
            Self::Rp3Beta(params) => extent.lists_of_rows(params.neighbours, 2 * extent.matrix() + 8 * extent.n),
            Self::VmisKnn(_) => extent.sessions(),
            Self::Ease(params) => extent.ease(params),
            Self::EaseSparse(params) => extent.ease_sparse(params),
            Self::Ials(params) => extent.ials(params, dataset),
            Self::Spectral(params) => extent.spectral(params),
            Self::Blend(params) => {
                let members: Vec<Need> =
                    params.members.iter().map(|member| member.need_of_scorer(dataset, extent)).collect();
                let models: u64 = members.iter().map(|need| need.model).sum();
                let peak = members.iter().map(|need| need.peak).max().unwrap_or(0);
                // While shares are chosen: the window's two halves, the readers' stored histories, and the candidates.
                let n_members = members.len() as u64;
                let window = 2 * dataset.bytes() + n_members * (28 * extent.n + 170 * extent.readers + 5 * extent.text);
                let scores = 4 * extent.books * n_members * extent.threads + extent.matrix();
                let candidates = blend::MOST_CANDIDATES as u64 * n_members * (4 * n_members + 8);
                let chosen = if params.weights.is_some() { 0 } else { window + scores + candidates };
                Need { peak: models + peak + chosen, model: models }
            }
        }
    }
}

impl Dataset {
    /// At most so many bytes are held by the data set itself.
    pub fn bytes(&self) -> u64 {
        let Extent { n, readers, books, text, .. } = Extent::of(self);
        let lists =
            |book: BookRef<'_>| book.authors().chain(book.subjects()).map(|entry| entry.len() + 24).sum::<usize>();
        let words = |book: BookRef<'_>| book.item_id().len() + book.title().map_or(0, str::len) + lists(book);
        let told: usize = self.catalogue().books().map(words).sum();
        // The ids are keys of a map as well while it is built, and what grows has room to do so.
        72 * n + 200 * (readers + books) + 3 * (text + told as u64)
    }
}

/// What bounds depend on.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Interactions, at least the number of pairs.
    n: u64,
    readers: u64,
    books: u64,
    /// Most interactions of one reader or one book.
    longest: u64,
    /// Bytes of the readers' ids.
    text: u64,
    threads: u64,
}

impl Extent {
    fn of(dataset: &Dataset) -> Self {
        let mut of_readers = vec![0_u64; dataset.readers().len()];
        let mut of_books = vec![0_u64; dataset.catalogue().len()];
        for row in dataset.interactions() {
            of_readers[row.reader as usize] += 1;
            of_books[row.book.index()] += 1;
        }
        Self {
            n: dataset.interactions().len() as u64,
            readers: of_readers.len() as u64,
            books: of_books.len() as u64,
            longest: of_readers.into_iter().chain(of_books).max().unwrap_or(0),
            text: dataset.readers().iter().map(|id| id.as_str().len() as u64).sum(),
            threads: rayon::current_num_threads() as u64,
        }
    }

    /// Both directions of the pairs.
    fn matrix(self) -> u64 {
        16 * self.n + 8 * (self.readers + self.books) + 16
    }

    /// The same while it is made.
    fn making_matrix(self) -> u64 {
        40 * self.n + 24 * (self.readers + self.books)
    }

    /// Entries of the best `k` of each book.
    fn entries(self, k: usize) -> u64 {
        self.books * (k as u64).min(self.books)
    }

    /// Lists of the best `k` of each book, beside the sparse sides they are summed from.
    fn lists_of_rows(self, k: usize, sides: u64) -> Need {
        let entries = self.entries(k);
        let lists = 24 * self.books + 8 * entries;
        let summing = self.threads * 28 * self.books;
        let model = 8 * entries + 4 * self.books + 8;
        let storing = model + 12 * self.books;
        let peak = self.making_matrix().max(sides + 24 * (self.books + self.readers) + lists + summing.max(storing));
        Need { peak, model }
    }

    fn sessions(self) -> Need {
        let model = 8 * self.n + 8 * (self.readers + 2 * self.books);
        Need { peak: 56 * self.n + 100 * (self.readers + self.books), model }
    }

    fn ease(self, params: &ease::Params) -> Need {
        let side = self.readers.min(self.books).min(ease::MAX_SIDE as u64);
        let entries = self.entries(params.neighbours);
        let lists = 24 * self.books + 8 * entries;
        let triangle = Symmetric::bytes(side);
        let fitting = if self.readers < self.books {
            // The square beside the triangle, then each thread's 64 targets.
            let targets = self.threads * (4 * 64 * (self.readers + self.books) + 12 * (self.readers + self.books));
            (4 * side * side + triangle).max(4 * side * side + targets + lists)
        } else {
            triangle + Symmetric::bytes_to_invert(side).max(4 * 512 * side + self.threads * 8 * self.books + lists)
        };
        let design = 3 * self.matrix();
        Need { peak: design + fitting.max(lists + 24 * entries), model: 8 * entries + 4 * self.books + 8 }
    }

    fn ease_sparse(self, params: &ease_sparse::Params) -> Need {
        let candidates = (params.candidates as u64).min(self.books);
        let (near, kept) = (self.entries(params.candidates), self.entries(params.candidates.min(params.neighbours)));
        let side = candidates + 1;
        let block = 16 * self.readers + 16 * self.n.min(side * self.longest) + 12 * side * side + 64 * side;
        let lists = 48 * self.books + 8 * (near + kept);
        let working = self.threads * block.max(28 * self.books);
        let peak = self.making_matrix().max(3 * self.matrix() + 32 * self.books + lists + working.max(24 * kept));
        Need { peak, model: 8 * kept + 4 * self.books + 8 }
    }

    fn ials(self, params: &ials::Params, dataset: &Dataset) -> Need {
        let d = (params.factors as u64).min(self.readers).min(self.books);
        let width = d.next_multiple_of(16);
        let line = 4 * width;
        let mapped = if params.features {
            let order: Vec<u32> = (0..dataset.catalogue().len() as u32).collect();
            let features = Features::of(dataset.catalogue(), &order);
            let (n_features, n_pairs) = (features.by_feature.len() as u64, features.by_book.n_pairs() as u64);
            // The map with its residual, direction and images, and what it gives each book; texts while they are counted.
            line * (6 * n_features + 2 * self.books) + 400 * n_pairs + 16 * (n_features + self.books)
        } else {
            0
        };
        let vectors = line * (self.readers + 3 * self.books);
        let turning = 16 * 8 * width * width + 80 * d * d + 4 * width * width;
        let solving = self.threads * (2 * (self.longest + 16) * line + 3072 * width + 160_000 + 12 * width * width);
        let sparse = self.making_matrix().max(2 * self.matrix() + 8 * self.n);
        let peak = sparse + vectors + mapped + turning + solving;
        Need { peak, model: 4 * d * (self.books + 1) }
    }

    fn spectral(self, params: &spectral::Params) -> Need {
        let width = (params.vectors as u64 + spectral::SPARE as u64).min(self.readers).min(self.books);
        let sparse = 3 * self.matrix() + 8 * self.n + 24 * (self.readers + self.books);
        let small = 8 * width * width;
        let panels = 4 * width * (self.readers + 6 * self.books) + 26 * small + self.threads * 8 * 256 * width;
        let Need { peak, model } = self.lists_of_rows(params.neighbours, sparse + 4 * width * self.books);
        let storing = sparse + model + 4 * 4 * width * self.books;
        let peak = self.making_matrix().max(sparse + panels).max(peak).max(storing);
        Need { peak, model: model + 2 * 4 * width * self.books }
    }
}
