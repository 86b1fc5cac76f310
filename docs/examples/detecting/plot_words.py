"""
Texts that do not belong: counts of words
=========================================

A text is a row, a word a column, and a cell says how often it occurs. Given how many words there
are, the counts are multinomial. The texts are here what functions of scipy say of themselves:
those of `scipy.signal` are normal, those of `scipy.sparse.linalg` and `scipy.spatial` do not
belong.
"""

import inspect
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector


def texts_of(module):
    """Docstrings of the functions and classes of a module, by name."""
    objects = vars(import_module(module)).items()
    texts = {name: inspect.getdoc(o) for name, o in objects if callable(o) and name[0] != "_"}
    return pd.Series({f"{module}.{name}": text for name, text in texts.items() if text})


normal = texts_of("scipy.signal").sample(frac=1, random_state=0)
train, test = normal[:-40], normal[-40:]
others = pd.concat([texts_of("scipy.sparse.linalg"), texts_of("scipy.spatial")])

# %%
# The 150 most frequent words of the training texts are columns; others are not counted, and texts
# of fewer than 20 such words left out. Of a hundred texts no more can be learned.

words = CountVectorizer(max_features=150, stop_words="english", token_pattern="[a-z]{3,}")
words.fit(train)


def counts_of(texts):
    """Count the words of texts; a table with a column a word."""
    counts = words.transform(texts).toarray().astype(float)
    table = pd.DataFrame(counts, texts.index, words.get_feature_names_out())
    return table[table.sum(axis=1) >= 20]


detector = VAEAnomalyDetector(
    likelihoods="multinomial",
    latent_dim=4,
    members=["cautious"],
    max_steps=200,
    contamination=0.02,
    random_state=0,
)
detector.fit(counts_of(train))

# %%
# Every word of a text has its nats, so that long texts have more of them; what tells texts apart
# is how many nats there are a word.

tables = {"scipy.signal": counts_of(test), "others": counts_of(others)}
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
nats = {}
for name, table in tables.items():
    n_words = table.sum(axis=1)
    nats[name] = detector.negative_elbo(table) / n_words
    ax.scatter(n_words, nats[name], s=14, alpha=0.7, label=name)
does_not_belong = np.repeat([0, 1], [len(own) for own in nats.values()])
area = roc_auc_score(does_not_belong, np.concatenate([*nats.values()]))
ax.set(xscale="log", xlabel="words counted", ylabel="negative ELBO in nats a word")
ax.set_title(f"AUROC {area:.2f}")
ax.legend()

# %%
# Which words make texts odd that do not belong, in nats.

print(detector.explain(tables["others"]).mean().nlargest(8).round(1).to_string())
