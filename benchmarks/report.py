"""Write docs/benchmarks.md and its picture from the committed results."""

import json
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from scipy.stats import wilcoxon

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
MEASURES = {"auroc": "AUROC", "average_precision": "average precision"}
OURS = "skvae"
KINDS = ("splits", "fits")
CONFORMAL = {
    "splits": """`python benchmarks/conformal.py`: one fit with the defaults to at most 10,000
normal rows of a table; the other normal rows are split 500 times into 2,000 calibration rows and
1,000 rows to judge along with 50 anomalies. Of the calibration rows a share is replaced by
anomalies. By rate of false alarms (expected without contamination in brackets), FDR bound and
power; ties are broken at random. "uniform": Kolmogorov and Smirnov's test of 500 p-values, one a
split.""",
    "fits": """The same for what `fit` itself leaves to calibrate. `cv=None`: the tenth of 1,000
rows that also chose among the weights, so a bias of early stopping would show as too many alarms
and a mean p-value below the expected one. `cv=5`: 100 rows, each scored by a fit to the other
folds. Judged are 5,000 rows that no fit saw; ± is the standard error over the fits.""",
}


def quality():
    """All quality records, the mean over seeds by method, table and setting."""
    paths = sorted((HERE / "results" / "quality").glob("*.jsonl"))
    records = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    frame = pd.DataFrame(records)
    if "error" in frame:  # a method that failed on a table is not compared
        failed = frame.loc[frame["error"].notna(), "method"].unique()
        frame = frame[~frame["method"].isin(failed)].drop(columns="error")
    complete = frame.groupby("method")["table"].nunique() == frame["table"].nunique()
    frame = frame[frame["method"].isin(complete.index[complete])]
    return frame.groupby(["setting", "method", "table"]).mean(numeric_only=True).reset_index()


def ranking(frame, measure):
    """One row a method: mean, mean rank, wins/ties/losses of skvae, paired test, seconds."""
    by_table = frame.pivot(index="table", columns="method", values=measure)
    seconds = frame.groupby("method")[["fit_seconds", "score_seconds"]].sum()
    rows = {}
    for method in by_table:
        row = {
            MEASURES[measure]: f"{by_table[method].mean():.4f}",
            "mean rank": f"{by_table.rank(axis=1, ascending=False)[method].mean():.2f}",
            "skvae wins/ties/losses": "",
            "p (Wilcoxon)": "",
            "fit s": f"{seconds.loc[method, 'fit_seconds']:.1f}",
            "score s": f"{seconds.loc[method, 'score_seconds']:.1f}",
        }
        difference = (by_table[OURS] - by_table[method]).round(3)
        if method != OURS:
            counts = [(difference > 0).sum(), (difference == 0).sum(), (difference < 0).sum()]
            row["skvae wins/ties/losses"] = "/".join(map(str, counts))
            row["p (Wilcoxon)"] = f"{wilcoxon(by_table[OURS], by_table[method]).pvalue:.3f}"
        rows[method] = row
    table = pd.DataFrame(rows).T.rename_axis("method")
    return table.sort_values(MEASURES[measure], ascending=False)


def markdown(frame):
    """Lay a DataFrame out as a Markdown table."""
    header = [frame.index.name or "", *frame.columns]
    lines = [header, ["---"] * len(header)]
    lines += [[index, *row] for index, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def records(name):
    """All records of a results file."""
    return list(map(json.loads, (HERE / "results" / f"{name}.jsonl").read_text().splitlines()))


def last(name):
    """Return the latest record of a results file."""
    return records(name)[-1]


def scoring_section():
    """Time of scoring, beside IsolationForest."""
    result = last("scoring")
    names = ["skvae", "IsolationForest"]
    rows = {
        name: {
            "one row, ms": f"{1e3 * result[name]['one_row_seconds']:.2f}",
            "all rows, s": f"{result[name]['all_rows_seconds']:.1f}",
            "extra memory, MiB": f"{result[name]['extra_bytes'] / 2**20:.0f}",
        }
        for name in names
    }
    ratio = result["skvae"]["all_rows_seconds"] / result["IsolationForest"]["all_rows_seconds"]
    search = last("grid_search")
    return (
        f"## Scoring\n\n`python benchmarks/scoring.py`: {result['rows']:,} rows of "
        f"{result['columns']} columns ({result['skvae']['table_bytes'] / 2**20:.0f} MiB) on "
        f"{result['threads']} threads, defaults. skvae takes {ratio:.1f} times as long as "
        f"IsolationForest for all rows.\n\n{markdown(pd.DataFrame(rows).T.rename_axis('method'))}"
        f"\n\n`python benchmarks/grid_search.py`: a grid search with `n_jobs=2` takes "
        f"{search['ratio']:.2f} times as long as with `n_jobs=1`.\n"
    )


def quality_sections():
    """Tables of both settings and measures, and the picture."""
    frame = quality()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    text = ""
    titles = {
        "semi": "Novelty: fit on half of the normal rows, score all others",
        "unsup": "Outliers: fit and score all rows, without labels",
    }
    for ax, (setting, title) in zip(axes, titles.items(), strict=True):
        part = frame[frame["setting"] == setting]
        text += f"\n## {title}\n"
        for measure in MEASURES:
            text += f"\n{markdown(ranking(part, measure))}\n"
        means = part.groupby("method").agg({"auroc": "mean", "fit_seconds": "sum"})
        for method, (auroc, seconds) in means.iterrows():
            color = "#D55E00" if method == OURS else "#0072B2"
            ax.scatter(seconds, auroc, color=color)
            ax.annotate(method, (seconds, auroc), (4, 3), textcoords="offset points", fontsize=8)
        ax.set_xscale("log")
        ax.margins(x=0.25)
        ax.set_xlabel("seconds to fit all tables on one thread")
        ax.set_ylabel("mean AUROC")
        ax.set_title(title.split(":")[0])
    figure.savefig(DOCS / "quality.png", dpi=120)
    return f"{text}\n![Mean AUROC against fit time](quality.png)\n"


def conformal_section():
    """Promises of p-values, thresholds and selections, kept or not."""
    runs = {kind: [r for r in records("conformal") if r["kind"] == kind] for kind in KINDS}
    text = f"## p-values, false alarms and false discoveries\n\n{CONFORMAL['splits']}\n\n"
    rows = {}
    for run in runs["splits"]:
        row = {"uniform, p (KS)": f"{run['ks_p_value']:.3f}"} | measured(run, "alarms")
        row |= {f"FDR {n.split()[1]}": f"{v:.3f}" for n, v in run["mean"].items() if "fdr" in n}
        row["power at FDR 0.2"] = f"{run['mean']['power 0.2']:.2f}"
        rows[f"{run['table']}, {run['contamination']:.0%}"] = row
    text += markdown(pd.DataFrame(rows).T.rename_axis("table, contamination"))
    if not runs["fits"]:
        return f"{text}\n"
    text += f"\n\n{CONFORMAL['fits']}\n\n"
    rows = {}
    for run in runs["fits"]:
        name = f"{run['table']}, {run['n_rows']} rows, cv={run['cv']}"
        row = {"fits": run["n_fits"], "calibration rows": run["n_calibration"]}
        rows[name] = row | measured(run, "alarms") | measured(run, "mean p")
    text += markdown(pd.DataFrame(rows).T.rename_axis("table").fillna(""))
    return f"{text}\n"


def measured(run, kind):
    """Mean of some measures with its standard error and what was expected, by name."""
    return {
        name: f"{run['mean'][name]:.4f} ± {run['error'][name]:.4f} ({value:.4f})"
        for name, value in run["expected"].items()
        if name.startswith(kind)
    }


def main():
    """Write the page."""
    notes = (HERE / "notes.md").read_text()
    page = (
        "# Benchmarks\n\nWritten by `python benchmarks/report.py` from `benchmarks/results`. "
        "Seconds are wall-clock on one machine: compare them within a table only.\n\n"
    )
    page += f"{scoring_section()}\n{conformal_section()}\n{notes}{quality_sections()}"
    (DOCS / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
