-- How the source of an import is laid out, for exports of its rejected rows: JSON as bytes, like
-- rejected_rows.detail. Header names are the caller's data: whoever forgets an import's values sets
-- it to NULL.

ALTER TABLE rowlift.imports ADD COLUMN source_layout bytea;
