"""Every rule, and every constructor parameter, refuses what it must in one sentence shape."""

import inspect
import math
import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._estimators.checks import (
    check_parameters,
    constant,
    either,
    integer,
    kind,
    mapping,
    one_of,
    real,
    sequence,
    size,
)

NAN, INF = math.nan, math.inf

RULES = [  # rule, what it describes, good values, values out of range, values of a wrong kind
    (real(0, 1, "left"), "a float in the range [0, 1)", [0, 0.5], [1, -1, INF], ["0"]),
    (real(0, 1, "right"), "a float in the range (0, 1]", [1, Fraction(1, 2)], [0, 2], [None, [1]]),
    (real(0, 1, "both"), "a float in the range [0, 1]", [0, 1, np.float32(1)], [-1e-9], [True]),
    (real(0, 1, "neither"), "a float in the range (0, 1)", [1e-9, np.int8(1) / 2], [0, 1], [1j]),
    (real(0, INF, "left"), "a float in the range [0, inf)", [0, 1e300], [INF, -INF], [NAN]),
    (
        integer(1),
        "an int in the range [1, 2**63)",
        [1, np.int64(7)],
        [0, -1],
        [1.0, True, "1", None],
    ),
    (one_of(["b", "a"]), "a str among {'a', 'b'}", ["a", "b"], ["c", ""], [None, 1, ["a"]]),
    (
        sequence(integer(1)),
        "a list or tuple, each item an int in the range [1, 2**63)",
        [(), [1], (3, np.int64(2))],
        [(0,), [1, -1]],
        [5, (1.5,), "12", {1}, None, np.array([1])],
    ),
    (
        mapping(one_of(["a"])),
        "a dict, each value a str among {'a'}",
        [{}, {"x": "a", 3: "a"}],
        [{"x": "b"}],
        [{"x": 1}, ["a"], "a", None],
    ),
    (
        either(integer(1), one_of(["auto"])),
        "an int in the range [1, 2**63) or a str among {'auto'}",
        [1, "auto"],
        [0, "automatic"],
        [1.5, None, True],
    ),
    (constant(None), "None", [None], [], [0, False, "None"]),
    (kind("a function", callable), "a function", [len, print], [], ["len", None]),
]


@pytest.mark.parametrize(("rule", "described", "good", "out_of_range", "wrong_kind"), RULES)
def test_a_rule_takes_what_it_describes_and_nothing_else(
    rule, described, good, out_of_range, wrong_kind
):
    for value in good:
        assert rule.accepts(value)
        check_parameters(SimpleNamespace(p=value), {"p": rule})
    for values, error in ((out_of_range, ValueError), (wrong_kind, TypeError)):
        for value in values:
            message = (
                f"The 'p' parameter of SimpleNamespace must be {described}. Got {value!r} instead."
            )
            assert not rule.accepts(value)
            with pytest.raises(error, match=f"^{re.escape(message)}$"):
                check_parameters(SimpleNamespace(p=value), {"p": rule})


def test_the_first_parameter_that_breaks_its_rule_is_named():
    rules = {"a": integer(0), "b": integer(0), "c": integer(0)}
    with pytest.raises(ValueError, match="'b' parameter"):
        check_parameters(SimpleNamespace(a=0, b=-1, c="x"), rules)


WRONG = {  # constructor parameter -> values out of range, values of a wrong kind
    "latent_dim": ([0, -1, "big"], [1.5, None, True]),
    "hidden_layer_sizes": ([(0,), (8, -1)], [8, (1.5,), None, "8"]),
    "activation": (["sigmoid"], [None, 1]),
    "likelihoods": (["normal", {0: "normal"}], [None, 3, {0: 3}]),
    "min_frequency": ([0, 0.0, 1.0, -0.5], ["1", True]),
    "max_categories": ([0, -1], [1.5, "all"]),
    "missing": (["drop"], [None, True]),
    "scale_floor": ([0, 1.0, "small"], [None, True]),
    "context": ([], ["ward", 0, [[0]]]),
    "posterior": (["vamp"], [None, 3]),
    "prior": (["uniform"], [None, 3]),
    "prior_params": ([{"n_parts": 3}, {"n_components": 0}, {"n_components": True}], [3, [1]]),
    "divergence": (["kl"], [3]),
    "divergence_weight": ([-1, INF], ["1", None]),
    "beta": ([-0.1, INF], [None, True]),
    "capacity": ([-1], ["1"]),
    "init": (["pca"], [None, True]),
    "learning_rate_init": ([0, -1, INF], [None, "0.1"]),
    "batch_size": ([0, "all"], [1.5, None]),
    "max_steps": ([0], [10.0, None]),
    "validation_fraction": ([-0.1, 1, 1.0], [None, "0.1"]),
    "n_iter_no_change": ([0], [1.5, "auto"]),
    "members": (["all", [], ["tiny"], [{"depth": 3}], [{"beta": -1}]], [None, [3], {"beta": 1}]),
    "bound": (["iwelbo"], [None]),
    "n_draws": ([0], [16.0, None]),
    "device": (["gpu", "meta", "cuda:99"], [None, 0]),
    "robust_weight": ([-0.1, 1.1], [NAN, None, "0.3"]),
    "random_state": ([-1], ["seed", 1.5]),
    "verbose": ([], ["yes", None, 0.5]),
    "warm_start": ([], ["yes", None, 1]),
    "contamination": ([0, 0.6, -0.1, "5 %"], [None, [0.1]]),
    "false_alarm_rate": ([0, 1, -0.1], [None, "0.01"]),
    "use_labels": ([], [None, 1, "yes"]),
    "cv": ([1, 0, "5"], [2.5, True]),
    "calibration_groups": ([], ["ward", 0, [[0]]]),
}
ROWS = [
    (name, value, error)
    for name, values in WRONG.items()
    for error, part in zip((ValueError, TypeError), values, strict=True)
    for value in part
]


@pytest.mark.parametrize(("name", "value", "error"), ROWS)
def test_a_wrong_parameter_is_refused_before_data_is_touched(name, value, error):
    unreadable = object()
    message = rf"^The '{name}' parameter of VAEAnomalyDetector must be .*\. Got "
    detector = VAEAnomalyDetector(**{name: value})
    with pytest.raises(error, match=message + re.escape(repr(value)) + " instead"):
        detector.fit(unreadable)
    assert vars(detector) == vars(VAEAnomalyDetector(**{name: value}))


@pytest.mark.parametrize("name", inspect.signature(VAEAnomalyDetector).parameters)
def test_every_parameter_has_a_rule(name):
    assert name in WRONG


def test_the_sentence_names_the_class():
    with pytest.raises(ValueError, match="'beta' parameter of VAETransformer must be"):
        VAETransformer(beta=-1).fit(object())


CONFLICTS = [  # parameters that disagree, and what the error says about both
    ({"capacity": 3.0, "beta": 0}, "capacity=3.0 has no effect with beta=0"),
    (
        {"divergence": "kernel"},
        "divergence='kernel' knows no other prior than prior='standard_normal'. Got "
        "prior='full_mixture'. Use divergence='kernel_stein', which is for all.",
    ),
    (
        {"prior": "standard_normal", "prior_params": {"n_components": 3}},
        "must be a dict of parameters of prior='standard_normal'. Got {'n_components': 3} instead",
    ),
    (
        {"prior": "mixture", "prior_params": {"latent_dim": 3}},
        "must be a dict of parameters of prior='mixture'. Got {'latent_dim': 3} instead",
    ),
]


@pytest.mark.parametrize(("params", "message"), CONFLICTS)
def test_parameters_in_conflict_are_refused_before_data_is_touched(params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        VAEAnomalyDetector(**params).fit(object())


def test_a_noise_model_for_an_unknown_column_is_refused():
    message = (
        "The 'likelihoods' parameter of VAEAnomalyDetector names the column 'age', which X does "
        "not have. Its columns are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        VAEAnomalyDetector(likelihoods={"age": "gaussian"}).fit(np.zeros((30, 12)))


@pytest.mark.parametrize("rule", [integer(1), real(0, INF, "left"), size()])
@pytest.mark.parametrize("value", [2**70, 10**400])
def test_numbers_that_are_too_large_for_torch_are_out_of_range(rule, value):
    may_be = isinstance(value, int) and value < 1e300 and "float" in rule.describe
    assert rule.accepts(value) == may_be
