"""The mutants that the mutation test is made of."""

from tests.mutation.mutants import mutants

SOURCE = '''
def half(x: "int | None" = 3, strict=True):
    """Docstring 7."""
    return not x < 2 or x / -2 == min(x, 0.5)
'''
CHANGES = [
    "not x < 2 or x / -2 == min(x, 0.5)  ->  not x < 2 and x / -2 == min(x, 0.5)",
    "not x < 2  ->  not not x < 2",
    "x / -2 == min(x, 0.5)  ->  x / -2 != min(x, 0.5)",
    "x < 2  ->  x <= 2",
    "x / -2  ->  x * -2",
    "-2  ->  +2",
    "min  ->  max",
    "3  ->  4",
    "True  ->  False",
    "2  ->  3",
    "2  ->  3",
    "0.5  ->  1.0",
]


def test_every_operator_comparison_and_number_is_changed_once():
    assert sorted(mutant.change for mutant in mutants(SOURCE)) == sorted(CHANGES)


def test_a_mutant_differs_in_its_change_alone():
    (first,) = [mutant for mutant in mutants("a = 1 + x\n") if mutant.change == "1 + x  ->  1 - x"]
    assert (first.line, first.source) == (1, "a = 1 - x")


def test_arguments_that_change_no_number_and_annotations_are_left_alone():
    assert list(mutants("zip(a, b, strict=True)\nx: Float[1] = y\n")) == []
