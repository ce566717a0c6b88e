"""The layout of Speech Commands: official lists beside the class folders, and a folder of background noise."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from mixkit.comparison.problems import DataError
from mixkit.files import listed, plural
from mixkit.folders import Listing

LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}
NOISE = "_background_noise_"


def official(listing: Listing) -> Listing:
    """Return `listing` with the split of Speech Commands' own lists, and without its minutes of background noise.

    The lists (Warden 2018, arXiv:1804.03209; torchaudio's `SPEECHCOMMANDS` reads the same) name a clip by its path
    below the folder, "right/bb05582b_nohash_3.wav", and keep each speaker on one side.  What is in neither list is for
    training.  Endings are not looked at, so that clips may have been converted.  A folder without the lists is returned
    as it is, but for the noise.

    Args:
        listing: labelled by class folders.

    Raises:
        DataError: a list is no text, or fewer than two classes are left.
    """
    words = [i for i, row in enumerate(listing.rows) if row.label != NOISE]
    if len(words) < len(listing.rows):
        count = plural(len(listing.rows) - len(words), "recording")
        listing = listing.keep(words, f"left out {count} of {NOISE}, which is no word")
    top = listing.rows[0].path.parent.parent  # `root`, or the one folder in it that everything is in
    parts = {name: part for file, part in LISTS.items() for name in _names(top / file)}
    if not parts:
        return listing
    names = [f"{row.label}/{row.path.stem}" for row in listing.rows]
    splits = [parts.get(name, "train") for name in names]
    rows = tuple(row._replace(split=split) for row, split in zip(listing.rows, splits, strict=True))
    missing = sorted(parts.keys() - set(names))
    note = listed(f"{plural(len(missing), 'clip')} of the official lists are not there", missing)
    if len(set(splits)) == 1:
        return listing.keep(range(len(rows)), note)
    return replace(listing, rows=rows, notes=(*listing.notes, *filter(None, [note])))


def _names(file: Path) -> set[str]:
    """Return the clips that a list names, without endings; nothing where there is no such file."""
    if not file.is_file():
        return set()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be a list of clips, a path in each line: {error}") from error
    return {_stem(line.strip()) for line in lines if line.strip()}


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
