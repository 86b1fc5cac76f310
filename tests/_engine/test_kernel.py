"""The gradient written out is that of autograd, for every family, holes or not."""

from functools import partial

import pytest
import torch

from skvae._engine.kernel import kernel_for
from skvae._engine.kernel.priors import PRIORS as WRITTEN_OUT
from skvae._engine.step import noise
from skvae._table import Column
from skvae.nn import (
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    VAE,
    ComponentLabel,
    Context,
    FullMixture,
    JointLikelihood,
    LightStudentT,
    Objective,
)

FAMILIES = LIKELIHOODS | {"light_student_t": LightStudentT}
MIXED = ["gaussian", "spike_slab", "bernoulli", "categorical", "negative_binomial"]
# The others are given these.
GIVEN = [["given gaussian"], ["given categorical", "given ordinal"], ["given categorical"] * 2]
INDEPENDENT = [name for name, family in FAMILIES.items() if family.alone is None]
CASES = [([name], (8,), "full_mixture") for name in INDEPENDENT]
CASES += [(["categorical"] * 3, (8,), "full_mixture")]
CASES += [(["gaussian", "bernoulli", *given], (8,), "full_mixture") for given in GIVEN]
OF_PRIOR = {"component": ComponentLabel}  # a single column, of as many classes as the prior has
CASES += [
    (["gaussian", "bernoulli", "ordinal", "component", "gaussian", *given], (8,), "three")
    for given in ([], ["given gaussian"])
]
CASES += [(MIXED, hidden, prior) for hidden in ((), (8,), (7, 5)) for prior in WRITTEN_OUT]


def build(families, hidden_layer_sizes, prior, activation="silu", posterior="diagonal"):
    """Model in float64 with weights away from where they start, and rows with holes."""
    generator = torch.Generator().manual_seed(0)
    columns = [
        Column("x", "any", levels=tuple("abc"), n_codes=3, n_observed=9),
        Column("x", "any", levels=tuple("ab"), n_codes=2, n_observed=9),  # the third is unseen
        Column("x", "any", levels=tuple("abc"), n_codes=1, n_observed=9),
    ]
    widths = [1 if name in OF_PRIOR else 2 for name in families]
    x = torch.randint(3, (60, sum(widths)), generator=generator).double()
    x[:, 0] += torch.randn(60, generator=generator).abs() * (len(families) == 1)
    x = x.round() if FAMILIES[families[0]].domain != "real" else x
    own = [(FAMILIES | OF_PRIOR)[name.removeprefix("given ")] for name in families]
    sized = zip(own, widths, strict=True)
    are_flags = [family.domain == "binary" for family, n in sized for _ in range(n)]
    x[:, are_flags] = x[:, are_flags].clamp(max=1)
    observed = torch.rand(x.shape, generator=generator) < 0.8
    blocks = [
        (partial(Context, family) if name.startswith("given") else family, [columns[i % 3]] * n)
        for i, (name, family, n) in enumerate(zip(families, own, widths, strict=True))
    ]
    model = VAE(
        JointLikelihood(blocks),
        latent_dim=3,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        posterior=POSTERIORS[posterior],
        prior=prior,
        examples=(x.float(), observed.float()),
        generator=generator,
    ).double()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return model, x * observed, observed


@pytest.mark.parametrize(("beta", "trimming"), [(1.0, 0.0), (3.0, 0.2)])
@pytest.mark.parametrize("has_holes", [False, True])
@pytest.mark.parametrize(("families", "hidden", "prior"), CASES)
def test_the_gradient_is_that_of_autograd(families, hidden, prior, has_holes, beta, trimming):
    priors = PRIORS | {"three": partial(FullMixture, n_components=3)}
    model, x, observed = build(families, hidden, priors.get(prior, prior))
    observed = observed if has_holes else torch.ones_like(observed)
    drawn = noise(model, x, observed, 0.5, torch.Generator().manual_seed(1))
    terms = model(x, *drawn)
    Objective(beta=beta, trimming=trimming).loss(terms).backward()
    expected = []
    for weight in model.parameters():  # those of the noise of what is given have none
        zeros = torch.zeros_like(weight)
        expected.append(zeros if weight.grad is None else weight.grad)
        weight.grad = zeros.clone()
    elbo = kernel_for(model)(x, *drawn, beta=beta, trimming=trimming)
    torch.testing.assert_close(elbo, terms.log_weight().detach(), rtol=1e-10, atol=1e-10)
    for weight, slope in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, slope, rtol=1e-8, atol=1e-10)


def test_the_terms_of_classes_that_are_components_are_those_of_the_model():
    components = partial(FullMixture, n_components=3)
    model, x, observed = build([*["gaussian"] * 3, "component", "gaussian"], (8,), components)
    observed, eps = observed.double(), torch.randn(4, 1, 3, dtype=torch.float64)
    terms, kernel = model(x, observed, observed, eps), kernel_for(model)
    log_prob, minus_kl = kernel.terms(kernel.prior(), x.T, observed.T, observed.T, eps[:, 0].T)
    torch.testing.assert_close(log_prob.permute(1, 2, 0), terms.log_prob.detach())
    torch.testing.assert_close(minus_kl, -terms.kl.detach())


@pytest.mark.parametrize(
    "other",
    [
        {"activation": "tanh"},
        {"posterior": "full"},
        {"prior": PRIORS["vamp"]},
        {"prior": type("Own", (PRIORS["full_mixture"],), {})},
    ],
)
def test_what_is_not_written_out_is_left_to_autograd(other):
    settings = {"prior": PRIORS["standard_normal"]} | other
    model, _, _ = build(["gaussian"], (8,), **settings)
    assert kernel_for(model) is None


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in INDEPENDENT])
def test_cells_that_depend_on_each_other_are_left_to_autograd(family):
    for families in ([family], ["gaussian", family]):
        assert kernel_for(build(families, (8,), PRIORS["standard_normal"])[0]) is None
