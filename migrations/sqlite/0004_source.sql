-- How the source of an import is laid out, for exports of its rejected rows: JSON. Header names are
-- the caller's data: whoever forgets an import's values sets it to NULL.

ALTER TABLE rowlift_imports ADD COLUMN source_layout BLOB;
