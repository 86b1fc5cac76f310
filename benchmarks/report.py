"""Write from the results docs/benchmarks.md, and the tables of README and docs/tuning.md."""

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pictures
import ranking
from pictures import DOCS, OURS
from records import RESULTS, read

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
FIT_TIME = RESULTS / "fit_time.jsonl"
MARKS = "<!-- written by benchmarks/report.py -->", "<!-- end -->"
MEASURES = {"auroc": "AUROC", "average_precision": "average precision"}
COLLECTIONS = {"adbench": "ADBench", "uci": "one class of UCI against the rest"}
SETTINGS = {
    "semi": "Novelty: fit on half of the normal rows, score all others",
    "unsup": "Outliers: fit and score all rows, without labels",
}
KINDS = ("splits", "fits")
ENGINES = {
    "one_process": "one process, one thread",
    "score_files": "`score_files(n_jobs=2)`",
    "joblib": "a joblib loop over `BlockScorer`",
    "ray_files": '`score_files(engine="ray")`',
    "ray_data": "Ray Data",
    "dask_threads": "Dask, two threads of one process",
    "dask_distributed": "Dask, `distributed`, two processes",
}
LOADS = ("alone on one thread", "beside")
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


def markdown(frame):
    """Lay a DataFrame out as a Markdown table."""
    header = [frame.index.name or "", *frame.columns]
    lines = [header, ["---"] * len(header)]
    lines += [[index, *row] for index, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def quality():
    """Means over seeds by setting, method and table, of the methods that ran on every table.

    Its column "collection" says where a table is from: names of ADBench begin with a number.
    """
    paths = sorted((RESULTS / "quality").glob("*.jsonl"))
    frame = pd.DataFrame([record for path in paths for record in read(path)])
    frame["failed"] = frame["error"].notna() if "error" in frame else False
    frame = frame.groupby(["setting", "method", "table"]).agg(
        auroc=("auroc", "mean"),
        average_precision=("average_precision", "mean"),
        fit_seconds=("fit_seconds", "mean"),
        score_seconds=("score_seconds", "mean"),
        runs=("failed", "size"),
        failed=("failed", "sum"),
    )
    frame = frame.reset_index()
    frame["collection"] = frame["table"].str[0].str.isdigit().map({True: "adbench", False: "uci"})
    n_tables = frame.groupby(["setting", "method"])["table"].transform("nunique")
    return frame[n_tables == frame["table"].nunique()]


def by_table(frame, setting, measure):
    """One row a table and one column a method."""
    part = frame[frame["setting"] == setting]
    return part.pivot(index="table", columns="method", values=measure)


def ranked(frame, setting, measure):
    """One row a method: mean, mean rank, wins/ties/losses of skvae, paired test, seconds."""
    figures = by_table(frame, setting, measure)
    totals = frame[frame["setting"] == setting].groupby("method").sum(numeric_only=True)
    table = pd.DataFrame(
        {
            MEASURES[measure]: figures.mean().map("{:.4f}".format),
            "mean rank": ranking.mean_ranks(figures).map("{:.2f}".format),
            "skvae wins/ties/losses": ranking.wins_ties_losses(figures, OURS),
            "p (Wilcoxon)": ranking.p_values(figures, OURS).map("{:.3f}".format),
            "failed runs": totals["failed"].astype(str) + " of " + totals["runs"].astype(str),
            "fit s": totals["fit_seconds"].map("{:.1f}".format),
            "score s": totals["score_seconds"].map("{:.1f}".format),
        }
    )
    table = table.fillna("").rename_axis("method")
    return table.sort_values(MEASURES[measure], ascending=False)


def quality_section():
    """Tables of both settings and measures with their tests, and the pictures."""
    frame = quality()
    pictures.quality(frame)
    pictures.ranks({setting: by_table(frame, setting, "auroc") for setting in SETTINGS})
    text = ""
    for (setting, title), (collection, source) in product(SETTINGS.items(), COLLECTIONS.items()):
        part = frame[frame["collection"] == collection]
        text += f"\n## {title}; {source}\n"
        for measure in MEASURES:
            figures = by_table(part, setting, measure)
            text += (
                f"\n{markdown(ranked(part, setting, measure))}\n\n"
                f"Friedman's test that all are alike: p = {ranking.friedman_p(figures):.1g}. Two "
                f"methods differ if their mean ranks do by "
                f"{ranking.critical_difference(figures):.2f} or more (Nemenyi, 5 %).\n"
            )
    return (
        f"{(HERE / 'notes.md').read_text()}{text}\n![Mean AUROC against fit time](quality.png)\n\n"
        "Mean ranks; bars that do not overlap differ by Nemenyi's test:\n\n"
        "![Mean ranks by AUROC](ranks.png)\n"
    )


def headline(frame):
    """One row a figure that matters: skvae beside the best of the others."""
    rows = {}
    for collection, setting, measure in product(COLLECTIONS, SETTINGS, MEASURES):
        figures = by_table(frame[frame["collection"] == collection], setting, measure)
        source = f"{len(figures)} of {collection}"
        name = f"{source}, {pictures.TITLES[setting].lower()}: {MEASURES[measure]}"
        rows[name] = _beside_best(figures.mean(), max, "{:.4f}")
        ranks = ranking.mean_ranks(figures)
        rows[f"{name}, mean rank of {len(ranks)}"] = _beside_best(ranks, min, "{:.2f}")
    if FIT_TIME.exists():
        ratio = fit_times()["PyOD's VAE = 1"][OURS]
        rows["Seconds to fit all tables"] = {OURS: ratio, "best other": "PyOD's VAE = 1"}
    return pd.DataFrame(rows).T.rename_axis("means over tables")


def _beside_best(figures, best, form):
    others = figures.drop(OURS)
    method = best(others.index, key=others.get)
    return {
        OURS: form.format(figures[OURS]),
        "best other": f"{form.format(others[method])} ({method})",
    }


def density():
    """Held-out nats beside other densities, and the picture."""
    frame = pd.DataFrame(read(RESULTS / "density.jsonl"))
    nats = frame.pivot_table("nats", "table", "model", sort=False)
    nats["skvae with the robust member"] = frame.groupby("table")["nats with robust member"].mean()
    others = nats.drop(columns=[name for name in nats if name.startswith(OURS)])
    gain = nats[OURS] - others.max(axis=1)
    pictures.density(gain)
    chosen = frame[frame["model"] == OURS]["chosen"].value_counts()
    table = nats.map("{:,.2f}".format)
    table["skvae above the best other"] = gain.map("{:+,.2f}".format)
    counts = ", ".join(f'"{name}" {count} times' for name, count in chosen.items())
    return (
        "`python benchmarks/density.py --data DIR`: mean log density of normal rows "
        "that no fit and no choice has seen, in nats a row and standardised units, on every table "
        f"of numbers alone ({len(nats)}), drawn down to {frame['cap'].max():,} rows; all models "
        "were chosen by rows held out of their fit. Normal noise of 0.03 deviations is added to "
        "all rows. The bound of the member that skvae chose is above the best of the others, "
        f"chosen here in hindsight, on {(gain >= 0).mean():.0%} of the tables, by "
        f"{gain.median():+.2f} nats in the median. It chose {counts}. With the robust member, as "
        "scores are by default, the bound is lower: density is not what that member is for.\n\n"
        "![skvae above the best other](density.png)\n\n"
        f"{markdown(table.rename_axis('nats a row'))}\n"
    )


def over_tables(frame, keys):
    """Mean over tables of the mean over seeds, by some keys."""
    by_table = frame.groupby([*keys, "table"], sort=False).mean(numeric_only=True)
    return by_table.groupby(keys, sort=False).mean()


def contamination_section():
    """Quality against the share of anomalies among the training rows, and the picture."""
    paths = sorted((RESULTS / "contamination").glob("*.jsonl"))
    frame = pd.DataFrame([record for path in paths for record in read(path)])
    means = over_tables(frame.sort_values("share"), ["method", "share"])
    pictures.contamination(means)
    text = (
        "## Anomalies among the training rows\n\n`python benchmarks/contamination.py --data DIR`: "
        f"means over {frame['table'].nunique()} tables, seeds {frame['seed'].min()} to "
        f"{frame['seed'].max()}. The "
        "training rows are equally many at every share, and the test set (other normal rows, "
        "other anomalies) is the same; tables with too few anomalies for 100 training rows of "
        "which 30 % are anomalies are left out.\n"
    )
    for measure, name in MEASURES.items():
        table = means[measure].unstack().map("{:.4f}".format)
        table.columns = [f"{share:.0%}" for share in table.columns]
        text += f"\n{markdown(table.rename_axis(f'mean {name}'))}\n"
    return f"{text}\n![Quality against contamination](contamination.png)\n"


def fit_times():
    """Seconds to fit all tables, one row a method, and their ratio to PyOD's VAE."""
    seconds = pd.DataFrame(read(FIT_TIME)).groupby("method")["fit_seconds"].sum()
    ratio = seconds / seconds["PyOD VAE"]
    table = pd.DataFrame(
        {"fit s": seconds.map("{:.1f}".format), "PyOD's VAE = 1": ratio.map("{:.2f}".format)}
    )
    return table.loc[ratio.sort_values().index]


def fit_time_section():
    """Seconds to fit all tables, method beside method."""
    frame = pd.DataFrame(read(FIT_TIME))
    threads = " and ".join(map(str, sorted(frame["threads"].unique())))
    return (
        "## Fit time\n\n`python benchmarks/fit_time.py --data DIR`: "
        f"{frame['table'].nunique()} tables, novelty, seed 0, threads: {threads}; the methods in "
        f"turn table by table.\n\n{markdown(fit_times())}\n"
    )


def cost_section():
    """Where the time of a fit goes, and how it grows."""
    frame = pd.DataFrame(read(RESULTS / "cost.jsonl"))
    pictures.cost(frame)
    parts = pd.DataFrame(frame.pop("parts").to_list())
    shares = (100 * parts.div(frame["fit_seconds"], axis=0)).round().astype(int).astype(str) + "%"
    table = pd.concat([frame, shares], axis=1).rename(
        columns={"fit_seconds": "fit, s", "score_microseconds": "score a row, µs"}
    )
    return (
        "## Where the time goes\n\n`python benchmarks/cost.py`: processor seconds on one thread, "
        "of the defaults but for one thing at a time. Training is some 1 to 3 ms a step, of which "
        "half is the dispatch of 250 operations: the floor of a step written in Python. Below some "
        "5,000 rows the steps are few, and start and robust member count; above, the steps stay at "
        "2,000 and reading counts. Figures a tenth apart are alike."
        f"\n\n{markdown(table.set_index('rows'))}\n\n"
        "![Cost by rows, columns, candidates and draws](cost.png)\n"
    )


def gpu_section():
    """Seconds on a GPU and on the CPU."""
    frame = pd.DataFrame(read(RESULTS / "gpu.jsonl"))
    frame["steps"] = frame["steps"].map(", ".join)
    return (
        "## On a GPU\n\n`python benchmarks/gpu.py`: fit and score all rows. Another device draws "
        'other noise, by which "auto" may choose another candidate; "plain" compares like with '
        f"like.\n\n{markdown(frame.set_index('device'))}\n"
    )


def load_section():
    """Processor time beside other busy processes."""
    frame = pd.DataFrame(read(RESULTS / "load.jsonl"))
    means = {name: frame[name].map(lambda run: run["cpu_seconds"]).mean() for name in LOADS}
    return (
        "## Beside other processes\n\n`python benchmarks/load.py`: processor time of the "
        f"demonstration's fit alone on one thread, {means[LOADS[0]]:.1f} s, and with torch's "
        f"threads beside one busy process a core, {means[LOADS[1]]:.1f} s: "
        f"{means[LOADS[1]] / means[LOADS[0]]:.2f} times as much (mean of {len(frame)} runs).\n"
    )


def last(name):
    """Return the latest record of a results file."""
    return read(RESULTS / f"{name}.jsonl")[-1]


def scoring_section():
    """Time of scoring, beside IsolationForest."""
    shape = ["rows", "columns", "threads"]
    frame = pd.json_normalize(read(RESULTS / "scoring.jsonl"))
    frame["ratio"] = frame["skvae.all_rows_seconds"] / frame["IsolationForest.all_rows_seconds"]
    rows = [
        {
            "rows": f"{key[0]:,}",
            "columns": key[1],
            "threads": key[2],
            "all rows, IsolationForest = 1": f"{part['ratio'].median():.1f} "
            f"({part['ratio'].min():.1f} to {part['ratio'].max():.1f})",
            "one row, ms": f"{1e3 * part['skvae.one_row_seconds'].median():.1f}",
            "... IsolationForest": f"{1e3 * part['IsolationForest.one_row_seconds'].median():.1f}",
            "memory beside the table, MiB": f"{part['skvae.extra_bytes'].max() / 2**20:.0f}",
            "runs": len(part),
        }
        for key, part in frame.groupby(shape)
    ]
    search = last("grid_search")
    return (
        "## Scoring\n\n`python benchmarks/scoring.py`: defaults; medians over runs, each in a "
        "process of its own, and in brackets the least and the most.\n\n"
        f"{markdown(pd.DataFrame(rows).set_index('rows'))}\n\n"
        "`python benchmarks/grid_search.py`: `GridSearchCV` of 6 candidates with 3 folds on breast "
        f"cancer (569 x 30) takes {search['n_jobs=2']:.0f} s with `n_jobs=2`, and "
        f"{search['n_jobs=1']:.0f} s with `n_jobs=1`.\n"
    )


def step_section():
    """Where a training step's time goes, and the share of sgemm that is reached."""
    records = read(RESULTS / "step.jsonl")
    rows = [
        {"prior": record["prior"], "width": record["width"], "batch": record["batch_size"]}
        | {f"{part}, µs": f"{value:.0f}" for part, value in record["microseconds"].items()}
        | {
            f"{work}, share of sgemm": f"{record[f'{work}_flops'] / rate(record):.0%}"
            for work in ("training", "scoring")
        }
        for record in records
    ]
    rates = {name: rate(records[-1], name) / 1e9 for name in ("float32", "float64")}
    return (
        "## The training step\n\n`python benchmarks/step.py`: microseconds of a step by part, two "
        "hidden layers, 20 columns, one thread, on which large matrix products reach "
        f"{rates['float32']:.0f} GFLOP/s in float32 (sgemm), which trains and scores the usual "
        f"parts, and {rates['float64']:.0f} in float64, which scores with a VampPrior.\n\n"
        f"{markdown(pd.DataFrame(rows).set_index('prior'))}\n"
    )


def rate(record, dtype="float32"):
    """FLOP/s of large matrix products when a record was made."""
    return record["matmul_flops"][dtype]


def scale_section():
    """Time and memory against the size of the table, and the picture."""
    frame = pd.DataFrame(read(RESULTS / "scale.jsonl"))
    pictures.scale(frame)
    by_size = frame.set_index(["rows", "columns", "method"]).unstack().sort_index()
    forms = {
        "fit s": by_size["fit_seconds"],
        "score s": by_size["score_seconds"],
        "extra MiB": by_size["extra_bytes"] / 2**20,
    }
    table = pd.DataFrame(
        {
            f"{method} {name}": values[method].map("{:,.1f}".format).replace("nan", "failed")
            for name, values in forms.items()
            for method in values
        }
    )
    table.index = [f"{rows:,} x {columns}" for rows, columns in table.index]
    return (
        "## From a thousand to a million rows\n\n`python benchmarks/scale.py`: fit and score all "
        f"rows with defaults on {frame['threads'].max():.0f} threads; memory is beside the table. "
        '"failed" is for want of memory.\n\n'
        f"{markdown(table.rename_axis('rows x columns'))}\n\n"
        "![Time and memory against the number of rows](scale.png)\n"
    )


def knobs():
    """Quality and fit time of one changed parameter at a time, and the picture."""
    frame = pd.DataFrame(read(RESULTS / "knobs.jsonl"))
    frame["value"] = frame["value"].map(json.loads).map(repr)
    means = over_tables(frame, ["knob", "value", "setting"]).unstack(sort=False)
    pictures.knobs(means)
    columns = {
        f"{pictures.TITLES[setting]}: {name}": means[measure, setting].map(form.format)
        for setting in SETTINGS
        for measure, name, form in [
            ("auroc", "AUROC", "{:.3f}"),
            ("average_precision", "average precision", "{:.3f}"),
            ("fit_seconds", "fit s", "{:.1f}"),
        ]
    }
    table = pd.DataFrame(columns)
    table.index = [f"`{knob}={value}`" for knob, value in table.index]
    table.index.name = f"means over {frame['table'].nunique()} tables"
    return f"{markdown(table)}\n\n![Quality and fit time by parameter](knobs.png)"


def put_between_marks(path, text):
    """Replace what a page has between the two marks."""
    before, _, rest = path.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def mixed_section():
    """Quality on tables of numbers, flags, categories and holes."""
    frame = pd.DataFrame(read(RESULTS / "mixed.jsonl"))
    text = (
        "## Mixed tables\n\n`python benchmarks/mixed.py --data DIR`: fit on normal rows, means "
        f"over {frame['seed'].nunique()} seeds. skvae takes the tables as they are; the others get "
        "categories one-hot, holes filled and numbers standardised.\n"
    )
    for table, part in frame.groupby("table"):
        means = part.groupby("method")[list(MEASURES)].mean().sort_values("auroc", ascending=False)
        means = means.map("{:.4f}".format).rename(columns=MEASURES)
        text += f"\n{markdown(means.rename_axis(table))}\n"
    return text


def integers_section():
    """Integer columns as other numbers, as such of which one repeats, and by the rule."""
    frame = pd.DataFrame(read(RESULTS / "integers.jsonl"))
    measures = MEASURES | {"median_nats": "nats"}
    means = frame.groupby(["choice", "setting", "table"], sort=False)[list(measures)].mean()
    beside = means.loc["auto"]
    rows = {}
    for choice in ("spike_slab", "heteroscedastic_student_t"):
        gain = beside - means.loc[choice]
        for setting, part in gain.groupby("setting", sort=False):
            cells = [f"{part[name].mean():+.4f} ± {part[name].sem():.4f}" for name in MEASURES] + [
                f"{part['median_nats'].median():+.2f}"
            ]
            rows[f'"auto" beside "{choice}", {SETTINGS[setting].split(":")[0].lower()}'] = cells
    columns = [*MEASURES.values(), "nats of the median normal row, median table"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return (
        "## Integers\n\n`python benchmarks/integers.py --data DIR`: columns that are all whole, "
        f'given as integers, on the {frame["table"].nunique()} tables in which "auto" takes some '
        f"of them for other numbers; {frame['seed'].nunique()} seeds, at most "
        f"{frame['cap'].max():,} rows. Gains, with their standard errors over tables. "
        "Where a value repeats, the nats of a mass and of a density are of different kinds."
        f"\n\n{markdown(table)}\n"
    )


def context_section():
    """Columns as context, as ordinary ones, left out."""
    frame = pd.DataFrame(read(RESULTS / "context.jsonl"))
    text = (
        "## Context\n\n`python benchmarks/context.py --data DIR`: rows that are odd in their "
        "context alone, and two real tables with columns that may be taken for such; means over "
        f"{frame['seed'].nunique()} seeds. Nats are of normal rows that were not fitted; those of "
        '"ordinary" are of more columns.\n'
    )
    measures = MEASURES | {"nats": "nats a row"}
    for trial, part in frame.groupby("trial", sort=False):
        means = part.groupby("method", sort=False)[list(measures)].mean()
        means = means.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
        text += f"\n{markdown(means.rename(columns=measures).rename_axis(trial))}\n"
    return text


def residuals_section():
    """Noise that columns share beside noise of their own, by table."""
    frame = pd.DataFrame(read(RESULTS / "residuals.jsonl"))
    measures = {
        "nats": "{:+.2f}",
        "nats with robust member": "{:+.2f}",
        "auroc": "{:+.3f}",
        "average_precision": "{:+.3f}",
        "fit seconds": "{:.1f} times",
        "score seconds": "{:.1f} times",
    }
    means = frame.groupby(["table", "model"], sort=False)[list(measures)].mean().unstack()
    beside = {}
    for measure, form in measures.items():
        shared, own = means[measure]["low_rank"], means[measure]["gaussian"]
        gain = shared / own if "seconds" in measure else shared - own
        beside[measure] = [*map(form.format, gain), form.format(gain.median())]
    columns = frame.groupby("table", sort=False)["columns"].first()
    rows = pd.Index([*means.index, "median"], name='"low_rank" beside "gaussian"')
    table = pd.DataFrame({"columns": [*columns, ""]} | beside, index=rows)
    gain = (means["nats"]["low_rank"] - means["nats"]["gaussian"]) > 0
    worse = (means["auroc"]["low_rank"] - means["auroc"]["gaussian"]) < 0
    above = (means["nats"]["low_rank"] - means["nats"]["auto"]) > 0
    return (
        "## Noise that columns share\n\n`python benchmarks/residuals.py --data DIR`: every fifth "
        f"of the tables of numbers alone, drawn down to {frame['cap'].max():,} rows; the novelty "
        f'split, {frame["seed"].nunique()} seed. "low_rank" has more held-out nats than "gaussian" '
        f"on {gain.sum()} of {len(gain)} tables, and more than the default noise model on "
        f'{above.sum()}; its AUROC is lower than that of "gaussian" on {worse.sum()}. Nats a row '
        "of the member chosen, and of the score; seconds of processor time.\n\n"
        f"{markdown(table)}\n"
    )


def family():
    """Each member of the family beside the defaults, on the tables that both were measured on."""
    frame = pd.DataFrame(read(RESULTS / "parts.jsonl"))
    at = ["table", "seed", "cap"]
    paired = frame.merge(frame[frame["part"] == "default"], on=at, suffixes=("", " of default"))
    of_part = paired.groupby("part", sort=False)

    def gains(measure):
        return (paired[measure] - paired[f"{measure} of default"]).groupby(paired["part"])

    def times(seconds):
        sums = of_part[[seconds, f"{seconds} of default"]].sum()
        return (sums[seconds] / sums[f"{seconds} of default"]).map("{:.1f}".format)

    nats = gains("median_nats")
    table = pd.DataFrame(
        {
            "tables": of_part["table"].nunique(),
            "nats, median table": nats.median().map("{:+.2f}".format),
            "a tenth below, above": nats.quantile(0.1).map("{:+.2f}, ".format)
            + nats.quantile(0.9).map("{:+.2f}".format),
            **{name: gains(key).mean().map("{:+.3f}".format) for key, name in MEASURES.items()},
            "time to fit": times("fit_seconds"),
            "to score": times("score_seconds"),
        }
    ).loc[list(of_part.groups)]
    of_default = frame.loc[frame["part"] == "default", list(MEASURES)].mean()
    return (
        "`python benchmarks/parts.py`: one part in the place of the default's, all else as it is; "
        f"novelty split of tables drawn down to {frame['cap'].max():,} rows. Figures are beyond "
        "those of the defaults on the same tables: nats of the median held-out normal row, means "
        f"of AUROC (of the defaults {of_default['auroc']:.3f}) and average precision "
        f"({of_default['average_precision']:.3f}); times are the processor's, in those of the "
        f"defaults.\n\n{markdown(table.drop('default').rename_axis('part'))}\n"
    )


def oversampling_section():
    """Gradient boosting with rows of a rare class added."""
    frame = pd.DataFrame(read(RESULTS / "oversampling.jsonl"))
    means = frame.pivot_table("average_precision", "table", "method", sort=False)
    means.loc["mean"] = means.mean()
    spread = frame.groupby(["table", "method"])["average_precision"].std().mean()
    return (
        "## A rare class\n\n`python benchmarks/oversampling.py --data DIR`: average precision of "
        "it by gradient boosting, fitted to half of the rows as they are, and with rows of "
        f"the rare class added until there are as many as of the other; means over "
        f"{frame['seed'].nunique()} seeds, whose standard deviation is {spread:.3f} on average.\n\n"
        f"{markdown(means.map('{:.3f}'.format))}\n"
    )


def classes_section():
    """Accuracy and log loss by few labels and by many; novel classes."""
    frame = pd.DataFrame(read(RESULTS / "classes.jsonl"))
    frame["labels"] = frame["labels"].map({0: "all labels"}).fillna("10 labels a class")
    seeds = frame["seed"].nunique()
    novel = pd.DataFrame(read(RESULTS / "novel_classes.jsonl"))
    names = {
        "novelty_auroc": "AUROC of rows of no class",
        "empty_of_novelties": "of these without a class",
        "empty_of_others": "of others without a class",
        "denied": "of others denied their class, 5 % at most",
    }
    novel = novel.groupby(["table", "method"], sort=False)[list(names)].mean()
    novel = novel.rename(columns=names).map("{:.3f}".format).reset_index(1).rename_axis("table")
    text = (
        "## Classes\n\n`python benchmarks/classes.py`: half of each table is fitted, the other "
        f"half judged; means over {seeds} seeds. Logistic regression alone is fitted without the "
        "rows that have no label.\n"
    )
    for labels, part in frame.groupby("labels", sort=False):
        by_method = part.pivot_table(["accuracy", "log_loss"], "method", "table", sort=False)
        by_method.columns = [f"{table}: {name.replace('_', ' ')}" for name, table in by_method]
        text += f"\n{markdown(by_method.map('{:.3f}'.format).rename_axis(labels))}\n"
    return (
        f"{text}\nOne class after another left out, the others fitted by half of their rows and "
        f"calibrated by the rest; a class with fewer than 39 of these is never denied:\n\n"
        f"{markdown(novel)}\n"
    )


def clusters_section():
    """Agreement of clusters with classes, and what they cost."""
    frame = pd.DataFrame(read(RESULTS / "clusters.jsonl"))
    ari = frame.pivot_table("ari", "method", "table", sort=False)
    spread = frame.groupby(["table", "method"])["ari"].std().mean()
    auto = frame["method"].str.contains("auto")
    found = frame[auto].groupby("table", sort=False)["clusters"].agg(["min", "max"])
    found = found["min"].astype(str) + " to " + found["max"].astype(str)
    nats = frame.pivot_table("nats", "method", "table", sort=False)[ari.columns]
    seconds = frame.pivot_table("seconds", "method", "table", sort=False)
    seeds = frame.groupby("table", sort=False)["seed"].nunique()
    of_tables = frame.groupby("table", sort=False)[["rows", "classes"]].first().T
    of_tables.loc["seeds"] = seeds
    of_tables = of_tables.astype(object)
    of_tables.loc['clusters found by "auto"'] = found
    fits = _figures(seconds, "{:.1f}")
    return (
        "## Clusters\n\n`python benchmarks/clusters.py --data DIR`: adjusted Rand index beside "
        "classes that were not fitted, with as many clusters as classes; means over the seeds (of "
        '"gmvae" and of experts the first alone), '
        f"whose standard deviation is {spread:.3f} on average.\n\n"
        f"{markdown(_figures(ari, '{:.3f}'))}\n\nHeld-out nats a row:\n\n"
        f"{markdown(_figures(nats, '{:.2f}'))}\n\nThe tables:\n\n{markdown(of_tables)}\n\n"
        f"Seconds of a fit, beside other work on the machine:\n\n{markdown(fits)}\n"
    )


def _figures(frame, form):
    """Write figures, and nothing where none was measured."""
    return frame.map(lambda figure: "" if pd.isna(figure) else form.format(figure))


def onnx_section():
    """Difference and time of ONNX graphs beside the estimators."""
    frame = pd.DataFrame(read(RESULTS / "onnx.jsonl")).set_index("table")
    ratio = frame["onnx_seconds"] / frame["score_seconds"]
    table = pd.DataFrame(
        {
            "rows": frame["rows"],
            "columns": frame["columns"],
            "largest relative difference": frame["max_relative_difference"].map("{:.0e}".format),
            "other labels": frame["other_labels"],
            "time, skvae = 1": ratio.map("{:.2f}".format),
            "export s": frame["export_seconds"].map("{:.1f}".format),
            "MB": (frame["bytes"] / 1e6).map("{:.1f}".format),
        }
    )
    return (
        "## ONNX\n\n`python benchmarks/onnx_parity.py --data DIR`: scores of the exported graph by "
        "onnxruntime beside `score_samples`, one thread each, after a fit of 3 steps. "
        f"Median time {ratio.median():.2f} of skvae's.\n\n{markdown(table)}\n"
    )


def conformal_section():
    """Promises of p-values, thresholds and selections, kept or not."""
    runs = {
        kind: [r for r in read(RESULTS / "conformal.jsonl") if r["kind"] == kind] for kind in KINDS
    }
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


def explanations_section():
    """How often the one wrong cell of a row is blamed first."""
    frame = pd.DataFrame(read(RESULTS / "explanations.jsonl"))
    text = (
        "## Explanations\n\n`python benchmarks/explanations.py --data DIR`: one observed cell of "
        "each of 500 held-out normal rows is spoiled; share of the rows in which the method blames "
        'that column first, or among the first three. "swapped": another value of the column, from '
        'another row. "extreme": the farther of the 0.1 % and 99.9 % quantiles, numbers alone. '
        "Seconds on one thread, explanations for the 1,000 rows of both. skvae explains rows as "
        "they are, by `explain` or by the distance from what `expected` says; the others explain "
        "encoded columns, which are added up. alibi-detect's OutlierVAE is left out: version 0.13 "
        "needs numpy before 2 and pandas before 3, and cannot be installed beside.\n"
    )
    shares = [
        f"{kind} {place}" for kind in ("swapped", "extreme") for place in ("first", "among 3")
    ]
    for name, part in frame.groupby("table", sort=False):
        means = part.groupby("method").mean(numeric_only=True)
        means = means.sort_values("swapped first", ascending=False)
        table = means[shares].map("{:.3f}".format)
        for step in ("fit", "explain"):
            table[f"{step} s"] = means[f"{step}_seconds"].map("{:.1f}".format)
        columns = part["columns"].iloc[0]
        text += f"\n{markdown(table.rename_axis(f'{name}, {columns} columns'))}\n"
    return text


def missing_section():
    """Quality against the share of missing cells."""
    frame = pd.DataFrame(read(RESULTS / "missing.jsonl"))
    text = (
        "## Missing cells\n\n`python benchmarks/missing.py --data DIR`: novelty, means over "
        f"{frame['table'].nunique()} tables drawn down to 2,000 rows, seed 0; the same cells are "
        "missing for all methods, at random, in training and test rows.\n"
    )
    for measure, name in MEASURES.items():
        table = over_tables(frame, ["method", "share"])[measure].unstack().map("{:.4f}".format)
        table.columns = [f"{share:.0%}" for share in table.columns]
        text += f"\n{markdown(table.rename_axis(f'mean {name}'))}\n"
    return text


def labels_section():
    """Quality against the number of labelled anomalies."""
    frame = pd.DataFrame(read(RESULTS / "labels.jsonl"))
    failed = frame["error"].notna() if "error" in frame else pd.Series(False, frame.index)
    frame["auroc"] = frame["auroc"].where(~failed, 0.5)
    means = over_tables(frame, ["method", "n_labels"])
    table = means["auroc"].unstack().map("{:.4f}".format).replace("nan", "")
    seconds = frame.groupby("method", sort=False)["seconds"].mean()
    table["s a table"] = seconds.map("{:.1f}".format)
    return (
        "## A few labels\n\n`python benchmarks/labels.py --data DIR`: novelty with 0, 1, 5 or 10 "
        f"labelled anomalies among the training rows, mean AUROC over {frame['table'].nunique()} "
        "tables drawn down to 2,000 rows, on anomalies of which none is labelled; seeds "
        f"{frame['seed'].min()} to {frame['seed'].max()}. {failed.sum()} of {len(frame)} runs "
        "failed and count as 0.5. PyOD 3.6.7 passes outputs and labels to DevNet's loss in the "
        f"wrong order, which DeepOD's does not.\n\n{markdown(table.rename_axis('labels'))}\n"
    )


def scale_mixed_section():
    """Time and memory of a million rows of numbers and strings."""
    result = last("scale_mixed")
    return (
        "## A million mixed rows\n\n`python benchmarks/scale.py --mixed`: "
        f"{result['rows']:,} rows of {result['columns']} columns, a quarter of them strings, as a "
        f"DataFrame of {result['table_bytes'] / 2**20:.0f} MiB; threads: {result['threads']}. "
        f"{result['fit_seconds']:.0f} s to fit, {result['score_seconds']:.0f} s to score all rows, "
        f"{result['extra_bytes'] / 2**20:,.0f} MiB beside the table.\n"
    )


def files_section():
    """Time and memory of fits from files."""
    frame = pd.DataFrame(read(RESULTS / "files.jsonl"))
    table = pd.DataFrame(
        {
            "GB of files": (frame["bytes"] / 1e9).map("{:.2f}".format),
            "seconds": frame["seconds"].map("{:.0f}".format),
            "memory at most, GB": (frame["peak_bytes"] / 1e9).map("{:.2f}".format),
            "before, GB": (frame["bytes_before"] / 1e9).map("{:.2f}".format),
        }
    )
    names = frame["form"] + ", " + frame["rows"].map("{:,} rows".format)
    columns = frame["columns"].iloc[0]
    return (
        "## Files\n\n`python benchmarks/files.py`: `skvae.fit_files` of a folder of parts of "
        f"{columns} columns, with defaults: a million rows drawn and fitted, 100,000 others to "
        "calibrate. Memory is that of the process; before: what it held after imports.\n\n"
        f"{markdown(table.set_axis(names))}\n"
    )


def engines():
    """Time and memory of what shares out scores, the last measurement of each."""
    frame = pd.DataFrame(read(RESULTS / "engines.jsonl")).groupby("method", sort=False).last()
    table = pd.DataFrame(
        {
            "seconds": frame["seconds"].map("{:.0f}".format),
            "rows a second": frame["rows_per_second"].map("{:,.0f}".format),
            "CPU seconds": frame["cpu_seconds"].map("{:.0f}".format),
            "memory, MiB": frame["peak_mib"].map("{:,.0f}".format),
        }
    )
    return markdown(table.rename(index=ENGINES).rename_axis(""))


def data_size_section():
    """AUROC and nats by the number of rows that are fitted."""
    frame = pd.DataFrame(read(RESULTS / "data_size.jsonl"))
    frame["table"] = frame["table"].str.partition("_")[2]
    pictures.data_size(frame)
    frame["budget"] = frame["steps"].map(lambda s: "default" if s == "auto" else f"{s:,} steps")
    text = (
        "## More rows\n\n`python benchmarks/data_size.py --data DIR`: defaults, fitted to normal "
        f"rows; means over {frame['seed'].nunique()} seeds. Nats are of normal rows that were not "
        "fitted.\n\n"
        "![AUROC and nats against the number of rows](data_size.png)\n"
    )
    measures = {"auroc": "AUROC", "average_precision": "AP", "nats": "nats"}
    for table, part in frame.groupby("table", sort=False):
        means = part.groupby(["fitted_rows", "budget"], sort=True)[list(measures)].mean()
        means.index = [f"{rows:,}, {budget}" for rows, budget in means.index]
        means = means.rename(columns=measures).rename_axis(table)
        text += f"\n{markdown(means.map('{:.4g}'.format))}\n"
    return text


SECTIONS = {
    "quality": quality_section,
    "contamination": contamination_section,
    "fit_time.jsonl": fit_time_section,
    "cost.jsonl": cost_section,
    "load.jsonl": load_section,
    "gpu.jsonl": gpu_section,
    "step.jsonl": step_section,
    "scoring.jsonl": scoring_section,
    "scale.jsonl": scale_section,
    "scale_mixed.jsonl": scale_mixed_section,
    "files.jsonl": files_section,
    "data_size.jsonl": data_size_section,
    "mixed.jsonl": mixed_section,
    "integers.jsonl": integers_section,
    "context.jsonl": context_section,
    "residuals.jsonl": residuals_section,
    "oversampling.jsonl": oversampling_section,
    "classes.jsonl": classes_section,
    "clusters.jsonl": clusters_section,
    "missing.jsonl": missing_section,
    "explanations.jsonl": explanations_section,
    "labels.jsonl": labels_section,
    "conformal.jsonl": conformal_section,
    "onnx.jsonl": onnx_section,
}
# Results of skvae that are older than its defaults.
OLDER = {
    *("contamination", "scale_mixed.jsonl"),
    *("missing.jsonl", "explanations.jsonl", "labels.jsonl", "conformal.jsonl"),
}
OLDER_NOTE = """
Measured with earlier defaults: one model in the place of three candidates, of one layer of 512
units or of two of 128, started at random.
"""


def main():
    """Write pages, pictures and the README's table; what has no results is left out."""
    glance = markdown(headline(quality()))
    put_between_marks(README, glance)
    page = (
        "# Benchmarks\n\nWritten by `python benchmarks/report.py` from `benchmarks/results`. "
        f"Seconds are wall-clock on one machine: compare them within a table only.\n\n{glance}\n"
    )
    for results, section in SECTIONS.items():
        if (RESULTS / results).exists():
            page += f"\n{section()}" + (OLDER_NOTE if results in OLDER else "")
    (DOCS / "benchmarks.md").write_text(page)
    if (RESULTS / "engines.jsonl").exists():
        put_between_marks(DOCS / "large_tables.md", engines())
    if (RESULTS / "density.jsonl").exists():
        put_between_marks(DOCS / "members.md", density())
    if (RESULTS / "knobs.jsonl").exists():
        put_between_marks(DOCS / "tuning.md", knobs())
    if (RESULTS / "parts.jsonl").exists():
        put_between_marks(DOCS / "family.md", family())


if __name__ == "__main__":
    main()
