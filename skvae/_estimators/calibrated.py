"""Thresholds and p-values of a fitted detector, from rows that it was not fitted to."""

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from .._engine import CANDIDATES
from ..nn import LIKELIHOODS
from .base import BaseVAE
from .calibration import scores_by_fold, warn_of_calibration
from .conformal import below_tie, n_apart, p_values, threshold
from .groups import Groups
from .queries import as_random_state

__all__ = ["Calibrated", "offsets_of", "p_values_of"]

_FOLDS = 5  # of a table too small to hold rows out


class Calibrated(BaseVAE):
    """Calibration by the rows held out, or by folds, and by group."""

    def _check_bound(self):
        check_is_fitted(self)
        if self.bound != self.calibrated_bound_:
            raise ValueError(
                f"The threshold and p-values are for bound={self.calibrated_bound_!r}. Got "
                f"bound={self.bound!r}: set it back, call calibrate(X_normal), or fit anew."
            )

    def _outcome(self, trained, training, rows):
        outcome = super()._outcome(trained, training, rows)
        members = outcome["members_"]
        return outcome | self._calibration(self._bound(self._density(members)), members, rows)

    def _calibration(self, bound, members, rows):
        """Threshold and scores of calibration rows; `bound` scores encoded rows."""
        scores, places = self._unseen_scores(bound, members, rows)
        order = np.argsort(scores, kind="stable")
        scores, places = scores[order], places[order]
        n = n_apart(scores)
        apart, scores, places = scores[:n], scores[n:], places[n:]
        by_rate = self.contamination == "auto"
        share = float(self.false_alarm_rate if by_rate else self.contamination)
        offset = threshold(scores, share) if by_rate else None
        own, n_calibration = scores, 0 if offset is None else len(scores)
        if rows.X is not None and by_rate:
            warn_of_calibration(scores, apart, share)
        if offset is None:
            known = rows.raw.take(~rows.anomalous) if by_rate else rows.raw
            own = self._over(known, bound)
            offset = float(np.quantile(own, share))
        warns = rows.X is not None
        group_scores, group_offsets = self._groups(rows.take(places), scores, share, warns)
        return {
            "group_scores_": group_scores,
            "group_offsets_": group_offsets,
            "calibration_scores_": scores,
            "n_calibration_": n_calibration,
            "offset_": below_tie(offset, own),
            "calibrated_bound_": self.bound,
        }

    def _groups(self, rows, scores, rate, warns):
        """Scores and thresholds by group of encoded rows that calibrate."""
        own = {}, {}
        if self.calibration_groups is not None:
            groups = Groups(self.calibration_groups, self.table_)
            own = groups.calibration(groups.codes(rows), scores, rate, warns)
        return own

    def _unseen_scores(self, bound, members, rows):
        """Scores and places of calibration rows, none by a model that was fitted to them."""
        too_small = len(rows.held_out) == 0 and self.validation_fraction > 0
        n_folds = (_FOLDS if too_small else None) if self.cv == "auto" else self.cv
        n_others = np.sum(~rows.anomalous)
        if rows.X is None or n_folds is None or n_others < 3:
            return self._over(rows.raw.take(rows.held_out), bound), rows.held_out
        # A fold may lack what decides on a column's noise model.
        names = {column.name: column.likelihood for column in self.table_.columns_}
        likelihoods = {
            key: name if name in LIKELIHOODS else rows.families[name] for key, name in names.items()
        }
        kept = next(each for each in members if each.model is not None)
        recipe = kept.name if kept.name in CANDIDATES else kept.settings
        fold = (
            clone(self)
            .set_callbacks()
            .set_params(cv=None, likelihoods=likelihoods, members=[recipe], calibration_groups=None)
        )
        y = rows.y if self.use_labels else None
        random_state = as_random_state(self.random_state)
        scores = scores_by_fold(fold, rows.X, y, rows.anomalous, n_folds, random_state)
        return scores, np.flatnonzero(~rows.anomalous)


def offsets_of(detector, X):
    """Threshold of each row in nats, or of all; a number or an ndarray of shape (n,)."""
    if not detector.group_offsets_:
        return detector.offset_
    groups, codes = _groups_of(detector, X)
    offsets = np.full(len(codes), detector.offset_)
    for group, rows in groups.part(codes):
        offsets[rows] = detector.group_offsets_.get(group, detector.offset_)
    return offsets


def p_values_of(detector, X, scores):
    """Give what `p_values` gives of rows whose `score_samples` are known."""
    detector._check_bound()
    if len(detector.calibration_scores_) == 0:
        raise ValueError(
            f"No row calibrates this {type(detector).__name__}, which was fitted with "
            f"validation_fraction={detector.validation_fraction!r} and cv={detector.cv!r}, or by "
            "partial_fit. Call calibrate(X_normal), or fit with cv=5."
        )
    values = p_values(scores, detector.calibration_scores_)
    if detector.group_scores_:
        groups, codes = _groups_of(detector, X)
        for group, rows in groups.part(codes):
            if group in detector.group_scores_:
                values[rows] = p_values(scores[rows], detector.group_scores_[group])
    return values


def _groups_of(detector, X):
    """Find the groups of a fitted detector, and the codes of the rows of a table."""
    groups = Groups(detector.calibration_groups, detector.table_)
    return groups, detector._over(detector._read(X), groups.codes)
