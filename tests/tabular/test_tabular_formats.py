"""ARFF and Parquet."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mixkit.comparison.problems import DataError
from mixkit_tabular.readers import read_table

HEAD = "@relation r\n@attribute a real\n@attribute c {u, 'v w'}\n@data\n"


def read(folder, text, name="t.arff"):
    path = folder / name
    path.write_text(text)
    return read_table(path)


def test_arff_keywords_in_any_case_quoted_names_and_comments(tmp_path):
    table = read(
        tmp_path,
        "% top\n@RELATION 'my table'\n\n@Attribute 'long name' NUMERIC % not a comment in ARFF\n"
        '@attribute "it\'s" Integer\n@ATTRIBUTE c{x,y}\n@DATA\n% inside\n1, 2 ,x\n\n3,4,y\n',
    )
    assert list(table.frame.columns) == ["long name", "it's", "c"]
    assert table.frame["it's"].tolist() == [2.0, 4.0]
    assert table.default_target == "c"


def test_arff_values_with_blanks_quotes_and_commas(tmp_path):
    table = read(
        tmp_path,
        "@attribute s string\n@attribute c {low, 'very high', it's, \"a,b\"}\n@data\n"
        "'hello, world',very high\n\"say \\\"x\\\"\",'very high'\nbare words here,it's\n'',\"a,b\"\n",
    )
    assert table.frame["c"].tolist() == ["very high", "very high", "it's", "a,b"]
    assert table.frame["s"].tolist()[:3] == ["hello, world", 'say "x"', "bare words here"]
    assert table.notes == ()


def test_arff_question_marks_are_missing_unless_quoted(tmp_path):
    frame = read(tmp_path, "@attribute a real\n@attribute c {'?',u}\n@data\n?,'?'\n1,?\n").frame
    assert frame["a"].isna().tolist() == [True, False]
    assert frame["c"].isna().tolist() == [False, True]


def test_arff_nominal_columns_keep_the_declared_order_and_undeclared_levels(tmp_path):
    table = read(tmp_path, HEAD + "1,v w\n2,new\n3,u\n")
    assert list(table.frame["c"].cat.categories) == ["u", "v w", "new"]
    assert table.notes == ("column 'c' holds levels that are not declared, e.g. 'new'; they are kept",)


def test_arff_sparse_rows_fill_with_zero_and_the_first_level(tmp_path):
    frame = read(tmp_path, HEAD + "{0 2.5, 1 'v w'}\n{}\n{1 ?}\n").frame
    assert frame["a"].tolist() == [2.5, 0.0, 0.0]
    assert frame["c"].tolist()[:2] == ["v w", "u"]
    assert frame["c"].isna().tolist() == [False, False, True]


def test_arff_row_weights_tabs_and_closing_commas_are_tolerated(tmp_path):
    frame = read(tmp_path, HEAD + "1,u,{0.5}\n2\tv w\n3,u,\n4 u\n").frame
    assert frame["a"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert frame["c"].tolist() == ["u", "v w", "u", "u"]


def test_arff_declarations_may_go_over_several_lines(tmp_path):
    frame = read(tmp_path, "@attribute a real\n@attribute c {u,\n  'v}w',\n x}\n@data\n1,'v}w'\n").frame
    assert list(frame["c"].cat.categories) == ["u", "v}w", "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1,u\n2\n", "line 6: a row must have 2 values, got 1"),
        (HEAD + "abc,u\n", "line 5: 'a' must be a number, got 'abc'"),
        (HEAD + "{5 u}\n", "line 5: a sparse row must hold 'index value' pairs below 2, got '5 u'"),
        (HEAD, "must hold rows and columns, got 0 rows"),
        ("a,b\n1,2\n", "line 1: expected @attribute or @data"),
        ("@attribute a real\n", "must have a line @data, got none"),
        ("@data\n1\n", "must declare attributes"),
        ("@attribute a\n@data\n1\n", "must have a name and a type, got 'a'"),
        ("@attribute a {u,v\n@data\nu\n", "must end with a brace"),
        ("@attribute a relational\n@data\n", "has the type 'relational', which is not supported"),
        ("@attribute a real\n@attribute a real\n@data\n1,2\n", "column names must be unique, got 'a'"),
    ],
)
def test_unusable_arff_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_parquet_types_become_numbers_text_dates_and_named_index_columns(tmp_path):
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "price": [Decimal("1.50"), None, Decimal("2.25")],
            "day": [datetime.date(2024, 1, d) for d in (1, 2, 3)],
            "lasts": pd.to_timedelta([1, 2, 3], unit="min"),
            "word": pd.array([" a", "", None], dtype="string"),
        },
        index=pd.Index([7, 7, 8], name="person"),
    )
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    read_back = read_table(path).frame
    assert read_back["person"].tolist() == [7, 7, 8]
    assert read_back["price"].tolist()[0::2] == [1.5, 2.25]
    assert np.isnan(read_back["price"].iloc[1])
    assert read_back["lasts"].tolist() == [60.0, 120.0, 180.0]
    assert read_back["day"].dt.year.tolist() == [2024] * 3
    assert read_back["word"].isna().tolist() == [False, True, True]
    assert read_back["word"].iloc[0] == "a"


def test_a_damaged_parquet_file_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(DataError, match="can't be read as Parquet"):
        read_table(tmp_path / "t.parquet")


def test_no_header_is_ignored_where_the_format_has_names(tmp_path):
    path = tmp_path / "t.arff"
    path.write_text(HEAD + "1,u\n")
    table = read_table(path, header=False)
    assert list(table.frame.columns) == ["a", "c"]
    assert any("--no-header was ignored" in note for note in table.notes)
