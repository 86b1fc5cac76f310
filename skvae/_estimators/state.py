"""What is fitted: how it is gone on with, forgotten, given back, pickled and shown."""

from contextlib import contextmanager
from copy import deepcopy

from sklearn.utils.validation import validate_data

from .._engine import Reader, Writer, as_frame
from .._table import read_table
from .latent import Latent

__all__ = ["State", "undone_if_it_fails"]

# Parameters that say what there is to train: they stay while a training goes on.
_ARCHITECTURE = (
    *("latent_dim", "hidden_layer_sizes", "activation", "posterior", "prior", "prior_params"),
    *("likelihoods", "context", "scale_floor", "min_frequency", "max_categories", "missing"),
    *("members", "robust_weight"),
)


class State(Latent):
    """Fitted attributes, those whose names end in "_"."""

    def _fitted(self):
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def _forget(self):
        """Leave nothing that was fitted."""
        for name in self._fitted():
            delattr(self, name)

    def _read_to_fit(self, X, min_rows):
        """Read a table to go on with, or one to begin with where nothing is fitted."""
        if self.__sklearn_is_fitted__():
            self._check_architecture()
            return self._read(X, min_rows)
        raw = read_table(X, min_rows=min_rows)
        validate_data(self, X, skip_check_array=True)
        return raw

    def _architecture(self):
        return {name: deepcopy(getattr(self, name)) for name in _ARCHITECTURE}

    def _check_architecture(self):
        for name, fitted in self.architecture_.items():
            value = getattr(self, name)
            if not _are_alike(value, fitted):
                raise ValueError(
                    f"The {name!r} parameter of {type(self).__name__} was {fitted!r} when the "
                    f"training began, and cannot be {value!r} while it goes on. Set it back, or "
                    "begin anew with fit and warm_start=False."
                )

    def _repr_html_inner(self):
        """Add the members to what scikit-learn shows."""
        return super()._repr_html_inner() + self._members_as_html()

    def _repr_mimebundle_(self, **kwargs):
        """Add the members to what scikit-learn shows."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._members_as_html()
        return bundle

    def _members_as_html(self):
        if not self.__sklearn_is_fitted__():
            return ""
        return as_frame(self.members_).to_html(index=False, float_format="{:.4g}".format)

    def __getstate__(self):
        """Parameters, and what was fitted as plain values and arrays, without torch."""
        state = super().__getstate__()
        fitted = {name: value for name, value in state.items() if name.endswith("_")}
        writer = Writer()
        try:
            plain = {name: writer.write(value, name) for name, value in fitted.items()}
        except TypeError:  # parts of the user's own: pickle alone can hold them
            return state
        others = {name: value for name, value in state.items() if name not in fitted}
        return others | {"plain": plain, "arrays": writer.arrays}

    def __setstate__(self, state):
        """Take over what `__getstate__` returned."""
        state = dict(state)
        reader, plain = Reader(state.pop("arrays", {})), state.pop("plain", {})
        fitted = {name: reader.read(value) for name, value in plain.items()}
        super().__setstate__(state | fitted)


@contextmanager
def undone_if_it_fails(estimator):
    """Give an estimator its attributes back if anything is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _are_alike(value, fitted):
    """Whether a parameter is as it was; parts that are equal to no copy are told by their repr."""
    return _as_list(value) == _as_list(fitted) or repr(value) == repr(fitted)


def _as_list(value):
    """Make a list of a tuple: to the networks they are the same."""
    return list(value) if isinstance(value, (list, tuple)) else value
