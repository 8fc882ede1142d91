"""The benchmark's files, made once from the seed and kept in the target directory.

In: the generator, rows and a variant. Out: paths.
"""

import csv
import os
import subprocess

SEED = 1


class Files:
    """Files by rows and variant; made when first asked for."""

    def __init__(self, programs, folder):
        self.generate = os.path.join(programs, "examples/generate")
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, rows, kind, *variant):
        """The file of so many rows; `variant` are further arguments of the generator."""
        name = "-".join([str(rows), *(it.strip("-") for it in variant)]) + "." + kind
        return self._made(name, lambda file: subprocess.run(
            [self.generate, "--rows", str(rows), "--seed", str(SEED), "--format", kind, "--output", file, *variant],
            check=True, stderr=subprocess.DEVNULL))

    def halves(self, rows):
        """The CSV file in two, each with the header."""
        whole = self.path(rows, "csv")
        return [self._made(f"{rows}-half-{part}.csv", lambda file, part=part: _copy(
            whole, file, lambda index, row: row if index * 2 // rows == part else None)) for part in (0, 1)]

    def changed(self, rows, percent):
        """The CSV file with another description in so many rows of a hundred, spread evenly."""
        def change(index, row):
            if (index * percent) % 100 < percent:
                row[-1] = "changed: " + row[-1]
            return row

        whole = self.path(rows, "csv")
        return self._made(f"{rows}-changed-{percent}.csv", lambda file: _copy(whole, file, change))

    def _made(self, name, make):
        file = os.path.join(self.folder, name)
        if not os.path.exists(file):
            make(file + ".part")
            os.rename(file + ".part", file)
        return file


def _copy(source, target, change):
    """Row by row; `change` gives None for a row to leave out."""
    with open(source, encoding="utf-8", newline="") as read, open(target, "w", encoding="utf-8", newline="") as write:
        reader, writer = csv.reader(read), csv.writer(write, lineterminator="\n")
        writer.writerow(next(reader))
        for index, row in enumerate(reader):
            row = change(index, row)
            if row is not None:
                writer.writerow(row)
