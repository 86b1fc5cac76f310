"""Parameters that the estimators share: type, default, rule and text of each in one place."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from .._engine import CANDIDATES, Recipe
from ..nn import (
    ACTIVATIONS,
    DIVERGENCES,
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    Likelihood,
    Posterior,
    Prior,
)
from .checks import (
    constant,
    either,
    integer,
    is_hashable,
    kind,
    mapping,
    one_of,
    real,
    sequence,
    size,
)
from .declared import parameter, part_of, rules_of

__all__ = ["Parameters"]


_NOISE = part_of(["auto", *LIKELIHOODS], Likelihood)


@dataclass(eq=False, repr=False)
class Parameters(BaseEstimator):
    """Parameters of all estimators: a model, its training and its scores."""

    def _check(self, name, value):
        """Raise where a value breaks the rule of the parameter of that name."""
        rules_of(type(self))[name].check(name, value, self)

    def _recipe(self):
        """How its parameters say that a model is built and trained."""
        return Recipe.of(self)

    latent_dim: int | str = parameter(
        "auto",
        either(size(), one_of(["auto"])),
        """int or "auto"
        Dimensions of the latent space. "auto" takes the number of columns, at most 8, and
        at most 32 in the member "dense".
        """,
    )
    hidden_layer_sizes: Sequence[int] = parameter(
        (128,),
        sequence(size()),
        """tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse. Beside them
        the inputs pass on, so that () makes both linear. The robust member has its own.
        """,
    )
    activation: str = parameter(
        "silu",
        one_of(ACTIVATIONS),
        """{"silu", "relu", "tanh"}
        Activation of the hidden layers.
        """,
    )
    likelihoods: str | type | Mapping[Any, str | type] = parameter(
        "auto",
        either(_NOISE, mapping(_NOISE)),
        """str, class or dict
        Noise model: one for all columns, or a dict of column name (position for arrays)
        to noise model, where columns left out are "auto".

        - "auto": "bernoulli" for boolean columns, "categorical" for strings and
          categories, "ordinal" for ordered ones, "spike_slab" for integer columns of a
          DataFrame of which one value is a tenth of the cells, such as counts, or that
          range over orders of magnitude, such as bytes, and
          "heteroscedastic_student_t" for all others.
        - "gaussian": a normal with a learned scale per column, shared by all rows, and at
          least `scale_floor` of the column's standard deviation (of its absolute value if
          it never varies, of 1 if it is always 0).
        - "low_rank": a normal with a covariance of all its columns, a learned one of rank 4
          beside a learned scale per column; "gaussian" in the robust member.
        - "heteroscedastic": a normal whose scale is predicted for each cell, at most the
          same unit; "gaussian" in the robust member.
        - "student_t": Student's t with 4 degrees of freedom and a learned scale per
          column, for heavy tails.
        - "heteroscedastic_student_t": such a one whose scale is predicted for each cell,
          as in "heteroscedastic"; with 20 degrees of freedom and a scale per column in the
          robust member.
        - "log_normal": a normal of the logarithm, for heavy tails of positive numbers.
        - "spike_slab": one value, the most frequent, with a probability of its own, and
          for all others a normal of the inverse hyperbolic sine of their distance from it.
        - "poisson", "negative_binomial", "zero_inflated": for counts; the second with a
          learned dispersion per column, the third also with additional zeros.
        - "multinomial": for counts that are parts of a sum, such as words; given the sum.
        - "bernoulli": for columns of 0 and 1. That a flag may be a mere toss of a coin,
          with probability 0.4, bounds what a single rare flag adds to a score.
        - "categorical": for levels, such as strings, with the same bound. With n cells and
          k levels in training a level seen only later has probability 1 / (n + k + 1), and
          no level has less.
        - "ordinal": for numbers or categories whose order counts; levels seen only later
          as above.

        Scores are densities in the column's own units, of counts and levels masses.
        A subclass of `skvae.nn.Likelihood` is accepted wherever a name is.
        """,
    )
    min_frequency: float | None = parameter(
        None,
        either(integer(1), real(0, 1, "neither"), constant(None)),
        """int or float
        Cells, or share of the column's observed cells, below which a level is infrequent.
        All infrequent levels of a "categorical" column share one probability equally.
        """,
    )
    max_categories: int | None = parameter(
        100,
        either(integer(1), constant(None)),
        """int
        Upper limit to the probabilities of a "categorical" column, of which infrequent
        levels take one; None for none.
        """,
    )
    missing: str = parameter(
        "ignore",
        one_of(["ignore", "model"]),
        """{"ignore", "model"}
        What a missing cell says. With "ignore" nothing: scores are of the observed cells.
        "model" adds to each column that has holes in training the log mass of the cell
        being missing or not, for tables where that is informative; `fit` names columns
        that have none, of which it can learn nothing.
        """,
    )
    context: Sequence[Any] | None = parameter(
        None,
        either(constant(None), sequence(kind("a column's name, or position", is_hashable))),
        """list of column names or None
        Columns (positions for arrays) that are reasons and not symptoms: scores are of the
        others given them, log p(x | context). They need not be usual themselves, and `explain`
        gives them 0. Their holes count as unknown, and so do levels that `fit` did not see.
        """,
    )
    scale_floor: float | str = parameter(
        "auto",
        either(real(0, 1, "neither"), one_of(["auto"])),
        """float in (0, 1) or "auto"
        Smallest scale of the noise of a column of numbers, in the column's standard deviation.
        "auto" takes 0.05, and 0.02 in the member "dense".
        """,
    )
    posterior: str | type = parameter(
        "diagonal",
        part_of(POSTERIORS, Posterior),
        """{"diagonal", "full", "flow", "refined", "free", "binary", "quantised"} or class
        Form of q(z | x): a normal with diagonal or full covariance; "flow" is the first bent,
        "refined" the first made better for each row that is scored, for hundreds of times the time;
        "free" one that is found for each row without an encoder, which takes as long in training.
        "binary" is of bits, "quantised" of codes of a codebook.
        """,
    )
    prior: str | type = parameter(
        "auto",
        part_of(["auto", *PRIORS], Prior),
        """str or class
        Latent density p(z): "standard_normal"; "mixture" and "full_mixture", of normals with
        diagonal or full covariances; "vamp", of the posteriors of learned pseudo-inputs;
        "spike_slab", each dimension near 0 or standard normal; "vae", whose codes have codes;
        "gmvae", a mixture of what bends with a code; "bernoulli", bits for ``posterior="binary"``;
        "codes" for ``posterior="quantised"``. "auto" is the one of these two where the posterior is
        theirs, and else "full_mixture".
        """,
    )
    prior_params: dict[str, Any] | None = parameter(
        None,
        either(kind("a dict", lambda value: isinstance(value, dict)), constant(None)),
        """dict
        Parameters of the prior, such as ``{"n_components": 200}`` for the mixtures.
        """,
    )
    divergence: str | Callable[..., Any] | None = parameter(
        None,
        either(one_of(DIVERGENCES), kind("a function (x, y, generator)", callable), constant(None)),
        """str, function, Divergence or None
        Divergence of a batch's draws of z from the prior, added to the objective: "mmd",
        "sliced_wasserstein", "energy_distance", "sinkhorn", "kernel" or "kernel_stein", a function
        of two samples and a generator, or a `skvae.nn.Divergence`. "kernel" needs
        ``prior="standard_normal"``. With ``beta=0`` it stands in for the KL divergence: a
        Wasserstein autoencoder. "adversarial" is a critic of codes that learns meanwhile,
        "rows_adversarial" one of rows that are drawn.
        """,
    )
    divergence_weight: float = parameter(
        1.0,
        real(0, math.inf, "left"),
        """float
        Its weight; with 0 there is no critic.
        """,
    )
    beta: float = parameter(
        1.0,
        real(0, math.inf, "left"),
        """float
        Weight of the KL divergence in the objective. Training only: scores have weight 1, and
        unless it is 1 the encoder is fitted to them once more at the end.
        """,
    )
    capacity: float | None = parameter(
        None,
        either(real(0, math.inf, "left"), constant(None)),
        """float
        KL divergence in nats to aim at: the objective has ``beta * |KL - C|`` with C
        rising linearly to `capacity` over the first half of the steps.
        """,
    )
    init: str = parameter(
        "linear",
        one_of(["linear", "random"]),
        """{"linear", "random"}
        Where the weights start: "linear" at factor analysis of the columns that are numbers,
        and a mixture prior at a mixture of its codes; "random" at random.
        """,
    )
    learning_rate_init: float = parameter(
        8e-3,
        real(0, math.inf, "neither"),
        """float
        Highest learning rate; it rises over the first 5 % of the steps and falls to 0
        over the last 40 %.
        """,
    )
    batch_size: int | str = parameter(
        "auto",
        either(integer(1), one_of(["auto"])),
        """int or "auto"
        Rows in a step. "auto" takes 256, or all rows if there are fewer.
        """,
    )
    max_steps: int | str = parameter(
        "auto",
        either(integer(1), one_of(["auto"])),
        """int or "auto"
        Optimiser steps. "auto" takes 100 passes over the rows at 256 rows a step, at least
        300 and at most 2,000 steps.
        """,
    )
    validation_fraction: float = parameter(
        0.1,
        real(0, 1, "left"),
        """float
        Share of the rows held out to judge the weights and to set the threshold; none
        under 20 rows.
        """,
    )
    n_iter_no_change: int | None = parameter(
        10,
        either(integer(1), constant(None)),
        """int
        Evaluations, of which there are 50 in `max_steps`, without a rise of the held-out
        ELBO after which the learning rate starts to fall early; None for never.
        """,
    )
    members: str | Sequence[str | Mapping[str, Any]] = parameter(
        "auto",
        either(
            one_of(["auto"]),
            sequence(
                either(one_of(CANDIDATES), kind("a dict", lambda value: isinstance(value, dict)))
            ),
        ),
        """"auto" or list of (str or dict)
        Candidates, each trained on the same rows; the one with the best bound on the rows
        held out is kept. A name decides on what the parameters leave open: "cautious" hides
        cells of half of the rows from the encoder at first, "plain" of a tenth, and so does
        "dense", with a `scale_floor` of 0.02 and up to 32 latent dimensions where these are
        "auto". A dict has parameters of the model or its training that stand in for the
        estimator's own, such as ``{"hidden_layer_sizes": ()}``. "auto" is all names, from 700
        rows on without "cautious", from 3,000 on "dense" alone. The first is kept where no rows
        are held out, as in `partial_fit`. ``members=[{}]`` trains the estimator's parameters alone.
        """,
    )
    robust_weight: float = parameter(
        0.35,
        real(0, 1, "both"),
        """float
        Share in every score of a second member, from 20 rows on: a short fit of two layers
        of 128 units with a standard normal prior that ignores the fifth of each batch with
        the lowest ELBO, so that it describes the bulk of the rows alone. 0 leaves it out:
        best where every training row is normal. 1 scores by it alone: best where many are
        not.
        """,
    )
    bound: str = parameter(
        "elbo",
        one_of(["elbo", "iwae"]),
        """{"elbo", "iwae"}
        What `score_samples` returns: the evidence lower bound, or the tighter
        importance-weighted bound. `negative_elbo` and `explain` stay with the former.
        """,
    )
    n_draws: int = parameter(
        4,
        size(),
        """int
        Quasi-random draws of the latent noise for scores, the same for all rows.
        """,
    )
    device: Any = parameter(
        "auto",
        kind("a str or torch.device", lambda value: isinstance(value, (str, torch.device))),
        """str
        Where to train and score: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA if
        present, else the CPU. Scores are computed in float64, with "mps" on the CPU. A
        model fitted on a GPU can be pickled, and scores on the CPU where there is none.
        """,
    )
    random_state: int | np.random.RandomState | None = parameter(
        None,
        either(
            integer(0, 2**32),
            kind("a numpy RandomState", lambda value: isinstance(value, np.random.RandomState)),
            constant(None),
        ),
        """int, RandomState instance or None
        Source of all randomness: an int makes fits repeatable.
        """,
    )
    verbose: int = parameter(
        0,
        kind("a bool or an int", lambda value: isinstance(value, Integral)),
        """int or bool
        Whether to show a progress bar.
        """,
    )
    warm_start: bool = parameter(
        False,
        kind("a bool", lambda value: isinstance(value, (bool, np.bool_))),
        """bool
        Whether `fit` continues from the weights and the encoding at hand. A row held out now
        may have been fitted before then, unless `random_state` is an int and X the same.
        """,
    )
