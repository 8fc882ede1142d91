"""Results inside documents, between marks, so that a command refreshes them.

In: a Markdown file with blocks such as

    <!-- bench:begin targets copy -->
    <!-- bench:end -->

Out: the same file, each block filled with the header and the sections that its mark names; with all
that were measured, where it names none. A block of which a section was not measured stays as it is: blocks
may be of different runs.
"""

import re

BLOCK = re.compile(r"(<!-- bench:begin(?P<names>[\w ]*) -->\n).*?(<!-- bench:end -->)", re.DOTALL)


class Marked:
    """A file with marks; anything amiss is told before a measurement begins."""

    def __init__(self, path, known, measured):
        self.path = path
        named = [set(block["names"].split()) for block in BLOCK.finditer(self._read())]
        unknown = set().union(*named) - known
        if unknown:
            raise SystemExit(f"{path} has a block of the unknown section {', '.join(sorted(unknown))}")
        missing = [names - measured for names in named]
        if not missing:
            raise SystemExit(f"{path} has no block between <!-- bench:begin --> and <!-- bench:end -->")
        if all(missing):
            raise SystemExit(f"{path} has no block of which every section will be measured")

    def fill(self, header, report):
        """Replaces what stands in the blocks by what the report has of their sections."""
        def filled(block):
            names = block["names"].split() or list(report.texts)
            if not all(name in report.texts for name in names):
                return block[0]
            return "".join([block[1], "\n", header, report.text(names), "\n", block[3]])

        text = BLOCK.sub(filled, self._read())
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()
