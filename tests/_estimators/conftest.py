"""Fitted models that several files ask."""

import pytest
from common import SMALL

from skvae import VAETransformer


@pytest.fixture(scope="module")
def model(table):
    return VAETransformer(**SMALL).fit(table)
