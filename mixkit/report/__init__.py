"""From the numbers of a comparison to a table in the terminal and one standalone HTML file.

`summary` says what the numbers look like, `words` turns them into text, `table` prints them, `charts` draws
them and `html` puts everything on one page.  Nothing heavy is imported here: matplotlib and jinja2 load with
`html` only.
"""

from mixkit.report.summary import GalleryItem, Summary

__all__ = ["GalleryItem", "Summary"]
