"""implicit's ALS on a split: prints a line of JSON for each epoch with the seconds of fitting so far and the quality then.

Run by tests/peers/fit with the Python of an environment that has implicit and threadpoolctl.
"""

import csv
import gzip
import json
import sys
import time

import numpy
import scipy.sparse
from implicit.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

LENGTH = 20


def rows(path):
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.DictReader(file)
        return [(row["user_id"], row["item_id"]) for row in reader]


def matrices(train, test):
    """Both parts as sparse matrices over the readers and books of the past; what is new in the future is left out."""
    readers = {reader: row for row, reader in enumerate(sorted({reader for reader, _ in train}))}
    books = {book: row for row, book in enumerate(sorted({book for _, book in train}))}

    def matrix(pairs):
        known = {(readers[u], books[i]) for u, i in pairs if u in readers and i in books}
        u, i = numpy.array(sorted(known)).T
        return scipy.sparse.csr_matrix((numpy.ones(len(u), numpy.float32), (u, i)), (len(readers), len(books)))

    return matrix(train), matrix(test)


def quality(model, train, test):
    """Mean Recall and NDCG of full rankings without the books of the past."""
    gains = 1 / numpy.log2(numpy.arange(2, LENGTH + 2))
    recall, ndcg = [], []
    for first in range(0, train.shape[0], 1024):
        part = slice(first, min(first + 1024, train.shape[0]))
        scores = model.user_factors[part] @ model.item_factors.T
        scores[train[part].nonzero()] = -numpy.inf
        top = numpy.argpartition(-scores, LENGTH, axis=1)[:, :LENGTH]
        order = numpy.take_along_axis(scores, top, axis=1).argsort(axis=1)[:, ::-1]
        top = numpy.take_along_axis(top, order, axis=1)
        for row, listed in enumerate(top, first):
            wanted = test.indices[test.indptr[row] : test.indptr[row + 1]]
            if len(wanted):
                hits = numpy.isin(listed, wanted)
                recall.append(hits.sum() / len(wanted))
                ndcg.append((hits * gains).sum() / gains[: min(LENGTH, len(wanted))].sum())
    return float(numpy.mean(recall)), float(numpy.mean(ndcg))


def main():
    train_path, test_path, factors, epochs, solver, every = sys.argv[1:]
    threadpool_limits(1, "blas")
    train, test = matrices(rows(train_path), rows(test_path))
    model = AlternatingLeastSquares(
        factors=int(factors), alpha=100, regularization=100, iterations=int(epochs), use_gpu=False,
        use_cg=solver != "exact", num_threads=2, random_state=1,
    )
    clock = {"spent": 0.0, "since": time.perf_counter()}

    def told(epoch, *_):
        clock["spent"] += time.perf_counter() - clock["since"]
        if (epoch + 1) % int(every) == 0 or epoch + 1 == int(epochs):
            recall, ndcg = quality(model, train, test)
            print(json.dumps({"epoch": epoch + 1, "seconds": clock["spent"], "recall": recall, "ndcg": ndcg}), flush=True)
        clock["since"] = time.perf_counter()

    model.fit(train, show_progress=False, callback=told)


main()
