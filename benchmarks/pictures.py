"""The pictures of the documentation."""

from itertools import product
from pathlib import Path

import ranking
from adjustText import adjust_text
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OURS = "skvae"
TITLES = {"semi": "Novelty", "unsup": "Outliers"}


def color(method):
    """One colour for skvae, another for all others."""
    return "#D55E00" if method == OURS else "#0072B2"


def save(figure, name):
    """Write docs/NAME.png."""
    figure.savefig(DOCS / f"{name}.png", dpi=120)
    plt.close(figure)


def quality(frame):
    """Mean AUROC of each method against the seconds it took to fit."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    for ax, (setting, title) in zip(axes, TITLES.items(), strict=True):
        part = frame[frame["setting"] == setting].groupby("method")
        means = part.agg({"auroc": "mean", "fit_seconds": "sum"})
        ax.scatter(means["fit_seconds"], means["auroc"], color=[*map(color, means.index)])
        ax.set_xscale("log")
        ax.margins(x=0.25)
        points = zip(means["fit_seconds"], means["auroc"], means.index, strict=True)
        adjust_text([ax.text(*point, fontsize=8) for point in points], ax=ax, expand=(1.3, 1.5))
        ax.set_xlabel("seconds to fit all tables on one thread")
        ax.set_ylabel("mean AUROC")
        ax.set_title(title)
    save(figure, "quality")


def ranks(by_table):
    """Mean ranks by setting, with bars that overlap where Nemenyi's test sees no difference."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    for ax, (setting, title) in zip(axes, TITLES.items(), strict=True):
        means = ranking.mean_ranks(by_table[setting]).sort_values(ascending=False)
        half = ranking.critical_difference(by_table[setting]) / 2
        for position, (method, rank) in enumerate(means.items()):
            ax.errorbar(rank, position, xerr=half, fmt="o", capsize=3, color=color(method))
        ax.set_yticks(range(len(means)), means.index)
        ax.set_xlabel("mean rank by AUROC")
        ax.set_title(title)
    save(figure, "ranks")


def density(gain):
    """Nats of skvae above the best other density, a bar a table."""
    gain = gain.sort_values()
    figure, ax = plt.subplots(figsize=(7, 0.2 * len(gain) + 1), layout="constrained")
    ax.barh(gain.index, gain, color=["#D55E00" if value >= 0 else "#0072B2" for value in gain])
    ax.set_xscale("symlog", linthresh=1)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.margins(y=0.01)
    ax.tick_params("y", labelsize=7)
    ax.set_xlabel("held-out nats a row of skvae above the best other density")
    save(figure, "density")


def cost(frame):
    """Seconds to fit and microseconds to score a row, by what they grow with."""
    names = ["rows", "columns", "candidates", "draws"]
    base = frame[names].mode().iloc[0]
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), layout="constrained")
    for name, column in zip(names, axes.T, strict=True):
        others = [other for other in names if other != name]
        part = frame[(frame[others] == base[others]).all(axis=1)].sort_values(name)
        for ax, measure in zip(column, ["fit_seconds", "score_microseconds"], strict=True):
            ax.plot(part[name], part[measure], "o-", color=color(OURS))
            ax.set_ylim(bottom=0)
            ax.set_xscale("linear" if name == "candidates" else "log")
        column[1].set_xlabel(name)
    axes[0, 0].set_ylabel("fit, s")
    axes[1, 0].set_ylabel("score a row, µs")
    save(figure, "cost")


def contamination(means):
    """AUROC and average precision of each method against the share of anomalies."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for ax, measure in zip(axes, ["auroc", "average_precision"], strict=True):
        curves = means[measure].unstack("method")
        for (method, curve), marker in zip(curves.items(), "osv^D<>", strict=False):
            line = "-" if marker == "o" or method == OURS else "--"
            ax.plot(
                100 * curve.index, curve, line, marker=marker, color=color(method), label=method
            )
        ax.set_xlabel("anomalies among the training rows, %")
        ax.set_ylabel(f"mean {measure.replace('_', ' ').replace('auroc', 'AUROC')}")
    axes[0].legend()
    save(figure, "contamination")


def scale(frame):
    """Seconds and memory against rows: a colour a method, a line style a number of columns."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), layout="constrained")
    labels = {
        "fit_seconds": "seconds to fit",
        "score_seconds": "seconds to score all rows",
        "extra_bytes": "extra bytes",
    }
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        curves = frame.pivot(index="rows", columns=["columns", "method"], values=measure)
        styles = dict(zip(sorted(frame["columns"].unique()), [":", "--", "-", "-."], strict=False))
        for (columns, method), curve in curves.items():
            look = {"marker": ".", "linestyle": styles[columns], "color": color(method)}
            curve = curve[curve > 0]  # less memory than could be measured
            ax.loglog(curve.index, curve, **look, label=f"{method}, {columns} columns")
        ax.set_xlabel("rows")
        ax.set_ylabel(label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, "scale")


def knobs(means):
    """AUROC and fit time, a column of panels a parameter."""
    parameters = means.index.unique("knob")
    figures = {"auroc": "mean AUROC", "fit_seconds": "mean seconds to fit"}
    look = {"figsize": (13, 6), "layout": "constrained", "sharex": "col", "sharey": "row"}
    figure, axes = plt.subplots(2, len(parameters), **look)
    for (row, knob), ax in zip(product(figures, parameters), axes.flat, strict=True):
        for (setting, title), line in zip(TITLES.items(), ["o-", "s--"], strict=True):
            values = means.loc[knob][row, setting]
            ax.plot([text.strip("\"'") for text in values.index], values, line, label=title)
    for ax, knob in zip(axes[-1], parameters, strict=True):
        ax.set_xlabel(knob)
        ax.margins(x=0.15)
        ax.tick_params("x", labelsize=8)
        ax.set_ylim(bottom=0)
    for ax, title in zip(axes[:, 0], figures.values(), strict=True):
        ax.set_ylabel(title)
    axes[0, 0].legend()
    save(figure, "knobs")


def data_size(frame):
    """AUROC and nats by the number of fitted rows, a line a table and budget, a point a seed."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    measures = {"auroc": "AUROC", "nats": "held-out nats above the fit to 1,000 rows"}
    colors = dict(zip(frame["table"].unique(), ("#D55E00", "#0072B2", "#009E73"), strict=True))
    first = frame.groupby(["table", "seed"])["nats"].transform("first")
    frame = frame.assign(nats=frame["nats"] - first)
    for ax, (measure, label) in zip(axes, measures.items(), strict=True):
        for (table, steps), part in frame.groupby(["table", "steps"], sort=False):
            means = part.groupby("fitted_rows")[measure].mean()
            style = {"color": colors[table], "marker": "o", "markersize": 4}
            name = table if steps == "auto" else f"{table}, {steps:,} steps"
            ax.plot(means, "-" if steps == "auto" else "--", label=name, **style)
            ax.plot(part["fitted_rows"], part[measure], ".", color=colors[table], alpha=0.4)
        ax.set_xscale("log")
        ax.set_xlabel("rows fitted")
        ax.set_ylabel(label)
    axes[0].legend()
    save(figure, "data_size")
