"""Steps replayed on a GPU are those taken one by one."""

import pytest
import torch
from common import needs_cuda

from skvae._engine.graph import _OneByOne, _Replayed, steps_of
from skvae._engine.step import AdamW, gradient_of
from skvae._table import Column
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS, VAE, JointLikelihood, Objective

COLUMN = Column("x", "any", levels=tuple("abc"), n_codes=3, n_observed=9)


def build(device, families):
    """Model, rows with holes, and a generator, all on a device."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (300, len(families)), generator=generator).float()
    observed = torch.rand(x.shape, generator=generator) < 0.9
    model = VAE(
        JointLikelihood([(LIKELIHOODS[name], [COLUMN]) for name in families]),
        latent_dim=2,
        hidden_layer_sizes=(8,),
        activation="silu",
        posterior=POSTERIORS["diagonal"],
        prior=PRIORS["full_mixture"],
        examples=(x, observed.float()),
        generator=generator,
    ).to(device)
    rows = (x * observed).to(device), observed.to(device)
    return model, rows, torch.Generator(device).manual_seed(1)


def weights_after(kind, families, n_steps=6):
    model, rows, generator = build("cuda", families)
    optimizer = AdamW(model.parameters())
    gradient, _ = gradient_of(model, Objective(), None, generator)
    steps, elbos = kind(optimizer, gradient, rows, generator), []
    for step in range(n_steps):
        places = torch.arange(64, device="cuda") + step
        elbos.append(steps(places, Objective(), 1e-2 / (1 + step), 0.5 * (step < 3)))
    return optimizer.weights, torch.stack(elbos)


@needs_cuda
@pytest.mark.parametrize(
    "families",
    [["heteroscedastic_student_t"], ["gaussian", "spike_slab", "bernoulli", "categorical"]],
)
def test_replayed_steps_are_those_taken_one_by_one(families):
    ways = (weights_after(kind, families) for kind in (_OneByOne, _Replayed))
    for one, other in zip(*ways, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_recordable", [False, True])
def test_on_the_cpu_steps_are_taken_one_by_one(is_recordable):
    model, rows, generator = build("cpu", ["gaussian"])
    gradient, _ = gradient_of(model, Objective(), None, generator)
    steps = steps_of(
        AdamW(model.parameters()), gradient, rows, generator, is_recordable=is_recordable
    )
    assert type(steps) is _OneByOne
    elbo = steps(torch.arange(64), Objective(), 1e-2, 0.5)
    assert elbo.shape == ()
    assert torch.isfinite(elbo)
