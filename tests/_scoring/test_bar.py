"""A bar of the parts that are done."""

from skvae._files import Part
from skvae._scoring.ledger import Outcome
from skvae._scoring.progress import shown


def test_the_bar_tells_parts_rows_rate_and_what_is_left(tmp_path, capsys):
    parts = [Part(str(i), str(tmp_path / str(i))) for i in range(3)]
    for part in parts:
        (tmp_path / part.name).write_text("x" * 100)
    outcomes = [Outcome("2", 1000), Outcome("0", 500), Outcome("1", error="no")]
    assert list(shown(outcomes, parts, verbose=False)) == outcomes
    assert capsys.readouterr().err == ""
    assert list(shown(outcomes, parts, verbose=True)) == outcomes
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("100%")
    assert "3/3 parts, 1,500 rows, " in last
    assert "rows/s, 00:00 left" in last
