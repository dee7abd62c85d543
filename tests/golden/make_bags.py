#!/usr/bin/python3
"""Writes bags.txt: bags of words as scikit-learn's vectorizers make them. Run again after changing TEXTS or CASES:
    /usr/bin/python3 tests/golden/make_bags.py > tests/golden/bags.txt
"""
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog; the dog sleeps.",
    "A dog's life: eat, sleep, bark. Eat again!",
    "foxes & dogs -- 2 foxes, 10 dogs, x_y and snake_case_1",
    "",
    "I a b",
    "Quick QUICK quick: the fox.",
    "prices rose 12.5 % in 1984, in the south",
]
# name in rubato, whole words between spaces, min_documents, max_features
CASES = [(weight, spaces, least, most) for weight in ("count", "binary", "tf", "tfidf")
         for spaces, least, most in ((0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 3))]


def vectorizer(weight, spaces, least, most):
    options = dict(min_df=least, max_features=most or None)
    if spaces:
        options.update(token_pattern=r"(?u)\S+", lowercase=False)
    if weight in ("count", "binary"):
        return CountVectorizer(binary=weight == "binary", **options)
    return TfidfVectorizer(use_idf=weight == "tfidf", **options)


for text in TEXTS:
    print(f"text {text}")
for case in CASES:
    rows = vectorizer(*case).fit_transform(TEXTS)
    rows.sort_indices()
    print("case", *case, rows.shape[1])
    for i in range(len(TEXTS)):
        row = rows[i]
        print(row.nnz, *(f"{k + 1} {v:.9g}" for k, v in zip(row.indices, row.data)))
