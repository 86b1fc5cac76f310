"""
Sounds that are out of tune: a table of their spectra
=====================================================

A recording is no table, but what is measured of it is: cepstral coefficients, as they are taken
of speech. Tones of one instrument are normal here; a partial that is out of tune, hum, and a
recording that is cut off at its loudest are not.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import dct, rfft, rfftfreq
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector

RATE, LENGTH, FRAME = 16_000, 8_192, 512
rng = np.random.default_rng(0)


def tones(n, kind="as usual"):
    """Tones of random pitch, loudness and decay; (n, LENGTH)."""
    time = np.arange(LENGTH) / RATE
    pitch = np.exp(rng.uniform(np.log(110), np.log(440), (n, 1)))
    sound = 0.01 * rng.normal(size=(n, LENGTH))
    for i in range(1, 9):
        is_off = kind == "out of tune" and i == 3
        phase = 2 * np.pi * rng.random((n, 1))
        sound += np.sin(2 * np.pi * (i + 0.4 * is_off) * pitch * time + phase) / i**1.5
    sound *= np.exp(-rng.uniform(1, 4, (n, 1)) * time) * np.exp(rng.normal(0, 0.5, (n, 1)))
    if kind == "hum":
        sound += 0.1 * np.sin(2 * np.pi * 50 * time)
    if kind == "cut off":
        loudest = 0.4 * np.abs(sound).max(axis=1, keepdims=True)
        sound = sound.clip(-loudest, loudest)
    return sound


# %%
# A frame's power spectrum is summed over bands, narrow for low and wide for high frequencies as
# the ear has them; the logarithms go through a cosine transform, of which the first 13
# coefficients are kept. The table has their means and standard deviations over the frames of a
# recording.


def coefficients(sound):
    """Mel-frequency cepstral coefficients, mean and deviation over frames; (n, 26)."""
    frames = sound.reshape(len(sound), -1, FRAME) * np.hanning(FRAME)
    power = np.abs(rfft(frames)) ** 2
    edges = 700 * (10 ** (np.linspace(0, np.log10(1 + RATE / 2 / 700), 28)) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequency = rfftfreq(FRAME, 1 / RATE)
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    bands = np.minimum(rising, falling).clip(0)  # (26, FRAME / 2 + 1)
    cepstrum = dct(np.log(power @ bands.T + 1e-6), norm="ortho")[..., :13]
    return np.hstack([cepstrum.mean(axis=1), cepstrum.std(axis=1)])


detector = VAEAnomalyDetector(members=["plain"], max_steps=400, random_state=0)
detector.fit(coefficients(tones(1_000)))

# %%
# Rows of each kind, none of which was fitted.

kinds = ["as usual", "out of tune", "hum", "cut off"]
scores = {kind: detector.score_samples(coefficients(tones(200, kind))) for kind in kinds}
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
bins = np.linspace(
    np.quantile(np.concatenate([*scores.values()]), 0.05), max(scores["as usual"]), 40
)
for kind, own in scores.items():
    area = roc_auc_score(np.repeat([0, 1], 200), -np.concatenate([scores["as usual"], own]))
    label = kind if kind == "as usual" else f"{kind}: AUROC {area:.2f}"
    ax.hist(own.clip(bins[0]), bins, histtype="step", linewidth=1.5, label=label)
ax.axvline(detector.offset_, color="black", linewidth=0.8, label="threshold")
ax.set(xlabel="score in nats", ylabel="recordings")
ax.legend(loc="upper left")

for kind, own in scores.items():
    print(f"{kind:12} flagged: {(own < detector.offset_).mean():.0%}")
