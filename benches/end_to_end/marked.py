"""Results inside documents, between marks, so that a command refreshes them.

In: a Markdown file with blocks such as

    <!-- bench:begin targets copy -->
    <!-- bench:end -->

Out: the same file, each block filled with the header and the sections that its mark names; with all
that were measured, where it names none.
"""

import re

BLOCK = re.compile(r"(<!-- bench:begin(?P<names>[\w ]*) -->\n).*?(<!-- bench:end -->)", re.DOTALL)


class Marked:
    """A file with marks; anything amiss is told before a measurement begins."""

    def __init__(self, path, sections):
        self.path = path
        wanted = [name for block in BLOCK.finditer(self._read()) for name in block["names"].split()]
        if not BLOCK.search(self._read()):
            raise SystemExit(f"{path} has no block between <!-- bench:begin --> and <!-- bench:end -->")
        missing = [name for name in wanted if name not in sections]
        if missing:
            raise SystemExit(f"{path} has a block with {', '.join(missing)}, which will not be measured")

    def fill(self, header, texts):
        """Replaces what stands in the blocks; `texts` by section."""
        def filled(block):
            names = block["names"].split() or texts
            return "".join([block[1], "\n", header, *(texts.get(name, "") for name in names), "\n", block[3]])

        text = BLOCK.sub(filled, self._read())
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()
