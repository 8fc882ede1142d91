-- SHA-256 of the import's file, once it is known.

ALTER TABLE rowlift_imports ADD COLUMN file_sha256 BLOB
    CHECK (file_sha256 IS NULL OR length(file_sha256) = 32);
