"""Rejected rows out to spreadsheet programs and back in: LibreOffice, openpyxl, the command line."""

import csv
import os
import re
import subprocess
import tempfile
import unittest

import openpyxl

from rowlift.v1 import import_service_pb2 as pb
from service import Service, chunks, messages, wait_until_serving

EXAMPLE = os.path.abspath("examples/businesses.xlsx")
MARK = "FFC7CE"
OURS = ["rowlift_row_number", "rowlift_errors"]
# What the person who made the file puts into the 13 rows.
GOOD = {"name": "Fixed & Sons", "category": "Trade", "phone": "+49 30 1234567",
        "email": "fixed@example.org", "website": "https://example.org", "description": "- fixed"}
# Those whose cells are formulas or numbers in the example are empty, or text, in the export.
STILL_REJECTED = [("17", "REQUIRED_MISSING"), ("142", "CELL_ERROR"), ("205", "REQUIRED_MISSING"),
                  ("333", "INVALID_TEXT"), ("418", "CELL_ERROR"), ("504", "EXTRA_CELLS"),
                  ("667", "REQUIRED_MISSING"), ("823", "CELL_ERROR"),
                  ("901", "REQUIRED_MISSING"), ("901", "CELL_ERROR")]
# Comma, double quote, UTF-8, from line 1.
CSV_FILTER = "44,34,76,1"


class RejectsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="rowlift-rejects-")
        database = os.path.join(cls.folder.name, "test.db")
        cls.service = Service(f"sqlite://{database}?mode=rwc", ['tables = [{name = "businesses"}]'])
        wait_until_serving(cls.service)
        with open(EXAMPLE, "rb") as file:
            stats = cls.import_file("example", file.read())
        assert (stats.inserted_row_count, stats.rejected_row_count) == (987, 13), stats
        cls.xlsx = cls.rejects("example", "rejects.xlsx")
        cls.csv = cls.rejects("example", "rejects.csv")

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    @classmethod
    def import_file(cls, import_id, data):
        header = pb.ImportHeader(import_id=import_id, table="businesses", file=pb.FileSource())
        events = list(cls.service.stub.Import(messages(header, chunks(data)), timeout=60))
        return events[-1].result.stats

    @classmethod
    def rejects(cls, import_id, name):
        """What `rowlift rejects ID --output FILE` makes."""
        path = cls.path(name)
        subprocess.run([os.environ["ROWLIFT_BINARY"], "rejects", import_id, "--output", path,
                        "--addr", f"http://{cls.service.address}"], check=True, capture_output=True)
        return path

    def by_libreoffice(self, path, input_filter=None):
        """The rows of a file as LibreOffice has them."""
        output = self.path("libreoffice")
        words = [os.environ["SOFFICE"], f"-env:UserInstallation=file://{self.path('profile')}",
                 "--headless", "--convert-to",
                 f"csv:Text - txt - csv (StarCalc):{CSV_FILTER},,0,false,false,false,false,false,-1",
                 "--outdir", output, path]
        if input_filter:
            words.insert(3, f"--infilter=CSV:{input_filter}")
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        [name] = os.listdir(output)
        converted = os.path.join(output, name)
        rows = read_csv(converted)
        os.remove(converted)
        return rows

    def reimported(self, import_id, path, inserted, rejected):
        with open(path, "rb") as file:
            stats = self.import_file(import_id, file.read())
        self.assertEqual((stats.inserted_row_count, stats.rejected_row_count),
                         (inserted, rejected))

    def told(self, import_id, numbers):
        """Number in the example and code of each rejected row."""
        request = pb.ListRejectedRowsRequest(import_id=import_id, page_size=100)
        rows = self.service.stub.ListRejectedRows(request).rejected_rows
        name = pb.RowErrorCode.Name
        return [(numbers[row.row_number], name(error.code).removeprefix("ROW_ERROR_CODE_"))
                for row in rows for error in row.errors]

    def test_libreoffice_reads_both_files_as_they_are_meant(self):
        rows = unguarded(read_csv(self.csv))
        self.assertEqual(len(rows), 14)
        self.assertEqual(rows[0][-2:], OURS)
        self.assertEqual(self.by_libreoffice(self.xlsx), rows)
        # Every column as text, or the program makes numbers of what looks like one.
        columns = "/".join(f"{column}/2" for column in range(1, len(rows[0]) + 1))
        opened = self.by_libreoffice(self.csv, f"{CSV_FILTER},{columns}")
        self.assertEqual(unguarded(opened), rows)
        guarded = [cell for row in read_csv(self.csv) for cell in row if cell.startswith("'")]
        self.assertTrue(guarded, "the example has cells that begin with a plus sign")

    def test_thirteen_fixed_rows_of_a_workbook_go_in(self):
        workbook = openpyxl.load_workbook(self.xlsx)
        sheet = workbook["Businesses"]
        n_fixed = 0
        for row in sheet.iter_rows(min_row=2):
            for cell in row:
                self.assertIn(cell.data_type, "sn", "strings only, or nothing")
                if cell.fill.start_color.rgb[-6:] != MARK:
                    continue
                # What stands in a column without a name is taken away.
                cell.value = GOOD.get(sheet.cell(1, cell.column).value)
                n_fixed += 1
        self.assertEqual(n_fixed, 14)
        fixed = self.path("fixed.xlsx")
        workbook.save(fixed)
        self.reimported("fixed-xlsx", fixed, 13, 0)

    def test_thirteen_fixed_rows_of_a_csv_go_in(self):
        rows = read_csv(self.csv)
        n_fixed = 0
        for row in rows[1:]:
            for letter in re.findall(r"\b([A-Z])\d+ [A-Z_]+: ", row[-1]):
                column = ord(letter) - ord("A")
                row[column] = GOOD.get(rows[0][column], "")
                n_fixed += 1
        self.assertEqual(n_fixed, 14)
        fixed = self.path("fixed.csv")
        with open(fixed, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        self.reimported("fixed-csv", fixed, 13, 0)

    def test_rows_that_nobody_fixed_are_rejected_for_the_same_reasons(self):
        with open(self.path("by-libreoffice.csv"), "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(self.by_libreoffice(self.xlsx))
        numbers = {line: row[-2] for line, row in enumerate(read_csv(self.csv), start=1)}
        files = [("xlsx", self.xlsx), ("csv", self.csv), ("saved", file.name)]
        for import_id, path in files:
            with self.subTest(import_id):
                self.reimported(import_id, path, 4, 9)
                self.assertEqual(self.told(import_id, numbers), STILL_REJECTED)


def read_csv(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def unguarded(rows):
    """The cells without the mark before what could be a formula."""
    return [[re.sub(r"^'(?='*[=+\-@\t\r\n])", "", cell) for cell in row] for row in rows]
