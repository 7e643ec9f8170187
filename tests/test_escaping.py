"""Names that would be markup: in figures, tables and rows they stay words."""

import xml.etree.ElementTree as ElementTree

import pytest

from niah.analysis.table import write_table
from niah.figures.draw import draw_runs
from tests.helpers.fake_runs import make_case, make_record, write_run

NAMES = [
    "<script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><svg onload='x()'/>",
    'a" onload="x()',
    "&amp;<b>",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_holds_nothing_a_name_could_add_to_it(tmp_path, name):
    def drawn(folder, model):
        cases = [make_case("n1", length=length, depth=depth) for length in (2000, 4000) for depth in (0.1, 0.9)]
        run = write_run(tmp_path / folder, cases, [make_record(case) for case in cases], model=model)
        draw_runs([run], run)
        return [ElementTree.parse(path) for path in sorted(run.glob("*.svg"))]

    plain, hostile = drawn("plain", "model"), drawn("hostile", name)
    assert len(hostile) == 2
    for one, other in zip(plain, hostile, strict=True):
        for tree in (one, other):
            words = {element.tag.rpartition("}")[2] for element in tree.iter()}
            assert "script" not in words and not [e for e in tree.iter() if any(k.startswith("on") for k in e.attrib)]
        assert {element.tag for element in other.iter()} == {element.tag for element in one.iter()}


@pytest.mark.parametrize(("name", "told"), [('a,b"c\nd', r'a,b"c\nd'), ("=1+1", "'=1+1")])
def test_a_table_keeps_its_columns_whatever_a_model_is_called(tmp_path, name, told):
    import pandas as pd

    case = make_case("n1")
    table = pd.read_csv(write_table(write_run(tmp_path / "run", [case], [make_record(case)], model=name)))
    assert set(table["model"]) == {told} and set(table["suite"]) == {"fake"}
