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


def last(name):
    """Return the latest record of a results file."""
    return json.loads((HERE / "results" / f"{name}.jsonl").read_text().splitlines()[-1])


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


def main():
    """Write the page."""
    notes = (HERE / "notes.md").read_text()
    page = (
        "# Benchmarks\n\nWritten by `python benchmarks/report.py` from `benchmarks/results`. "
        "Seconds are wall-clock on one machine: compare them within a table only.\n\n"
    )
    page += f"{scoring_section()}\n{notes}{quality_sections()}"
    (DOCS / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
