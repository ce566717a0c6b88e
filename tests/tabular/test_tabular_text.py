"""Delimited text: what is found out about a file without being asked for."""

import gzip

import pandas as pd
import pytest

from mixkit.comparison.problems import DataError
from mixkit_tabular.readers import read_table


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_gzipped_table_reads_as_the_plain_one(tmp_path):
    text = "a,b\n1,x\n2.5,y\n"
    plain = read_table(write(tmp_path, text))
    packed = read_table(write(tmp_path, gzip.compress(text.encode()), "table.csv.gz"))
    pd.testing.assert_frame_equal(plain.frame, packed.frame)
    assert (plain.name, packed.name) == ("table", "table")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_cuts_all_rows_alike(tmp_path, delimiter):
    rows = [("name", "note"), ("a", '"one, two; three | four\tfive"'), ("b", '"six"')]
    table = read_table(write(tmp_path, "\n".join(delimiter.join(row) for row in rows)))
    assert table.frame["note"].tolist() == ["one, two; three | four\tfive", "six"]


def test_decimal_commas_become_numbers_beside_semicolons(tmp_path):
    table = read_table(write(tmp_path, "a;b\n1,5;x\n;y\n-2;z\n"))
    assert table.frame["a"].tolist()[0::2] == [1.5, -2.0]
    assert table.frame["a"].isna().tolist() == [False, True, False]
    assert table.notes == ("decimal commas were read in 'a'",)


def test_commas_inside_quoted_cells_stay_text_beside_commas(tmp_path):
    table = read_table(write(tmp_path, 'a,b\n"1,5",x\n"2,5",y\n'))
    assert table.frame["a"].tolist() == ["1,5", "2,5"]


def test_question_marks_and_empty_cells_are_missing_and_none_is_a_word(tmp_path):
    table = read_table(write(tmp_path, "a,b\n?,None\n1, ? \n,NA\n4,  c \n"))
    assert table.frame["a"].isna().tolist() == [True, False, True, False]
    assert table.frame["b"].tolist()[0] == "None"
    assert table.frame["b"].isna().tolist() == [False, True, True, False]
    assert table.frame["b"].tolist()[3] == "c"


def test_without_header_columns_are_named_by_position(tmp_path):
    frame = read_table(write(tmp_path, "1,x\n2,y\n"), header=False).frame
    assert list(frame.columns) == ["0", "1"]
    assert frame["0"].tolist() == [1, 2]


def test_a_first_row_of_numbers_taken_for_names_is_noted(tmp_path):
    path = write(tmp_path, "5.1,setosa\n4.9,setosa\n")
    assert any("use --no-header" in note for note in read_table(path).notes)
    assert read_table(path, header=False).notes == ()


def test_names_taken_for_data_are_noted(tmp_path):
    path = write(tmp_path, "length,kind\n5.1,setosa\n4.9,other\n")
    assert any("leave out --no-header" in note for note in read_table(path, header=False).notes)


def test_row_names_before_a_header_that_is_one_short_keep_the_columns_apart(tmp_path):
    frame = read_table(write(tmp_path, '"a","b"\n"r1",1,2\n"r2",3,4\n')).frame
    assert frame["a"].tolist() == [1, 3]
    assert frame["row names"].tolist() == ["r1", "r2"]


def test_a_delimiter_at_the_end_of_rows_moves_no_column(tmp_path):
    frame = read_table(write(tmp_path, "a,b\n1,2,\n3,4,\n")).frame
    assert frame["a"].tolist() == [1, 3]
    assert frame["b"].tolist() == [2, 4]


@pytest.mark.parametrize(("encoding", "noted"), [("utf-8-sig", False), ("utf-16", False), ("cp1252", True)])
def test_letters_survive_their_encoding(tmp_path, encoding, noted):
    table = read_table(write(tmp_path, "größe,b\nä,1\n".encode(encoding)))
    assert list(table.frame.columns) == ["größe", "b"]
    assert table.frame["größe"].tolist() == ["ä"]
    assert any("not UTF-8" in note for note in table.notes) == noted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got an empty file"),
        ("\n \n", "got an empty file"),
        ("a,b\n", "must have rows below its header"),
        (b"\x89PNG\0\0\0", "got a binary file"),
        ("a,a\n1,2\n", "column names must be unique, got 'a' more than once"),
        ("1,1\n1,2\n", "use --no-header if the first row is data"),
        ("a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("a,b\n1,2,3,4\n", "must have 2 cells as its header has, got 4"),
        ('a,b\n"1,2\n3,4\n', "EOF inside string"),
    ],
)
def test_unusable_text_is_refused_with_a_reason(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, content))


def test_a_damaged_gzip_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_table(write(tmp_path, gzip.compress(b"a,b\n1,2\n")[:-9], "t.csv.gz"))


def test_folders_missing_files_and_spreadsheets_are_refused(tmp_path):
    with pytest.raises(DataError, match="must be a file, got the folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="Excel files can't be read"):
        read_table(write(tmp_path, b"PK", "t.xlsx"))
