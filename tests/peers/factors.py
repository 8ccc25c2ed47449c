"""The model of `bookloop-test-rival` as the other servers hold it: vectors in NumPy, an exact top 20 by one product."""

import os
import pathlib

import numpy as np

FACTORS = 64
K = 20


class Model:
    """Vectors of books and readers from the folder that BESIDE_MODEL names."""

    def __init__(self):
        folder = pathlib.Path(os.environ["BESIDE_MODEL"])
        self.books = np.fromfile(folder / "books.f32", dtype="<f4").reshape(-1, FACTORS)
        self.readers = np.fromfile(folder / "readers.f32", dtype="<f4").reshape(-1, FACTORS)

    def top(self, reader):
        """Rows and scores of the best books for the reader of a row, best first."""
        scores = self.books @ self.readers[reader]
        best = np.argpartition(-scores, K)[:K]
        best = best[np.argsort(-scores[best])]
        return best, scores[best]
