-- The sample table, in the first schema of the search path. One that exists already is left as
-- it is, whatever its columns.

DO $$
BEGIN
    IF to_regclass('businesses') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE TABLE businesses (
        id          bigserial PRIMARY KEY,
        name        text NOT NULL,
        category    text,
        phone       text,
        email       text,
        address     text,
        city        text,
        country     text,
        website     text,
        description text,
        created_at  timestamptz NOT NULL DEFAULT now(),
        updated_at  timestamptz NOT NULL DEFAULT now(),
        deleted_at  timestamptz
    );
    CREATE INDEX businesses_name_idx ON businesses (name);
    CREATE INDEX businesses_category_idx ON businesses (category);
    CREATE INDEX businesses_email_idx ON businesses (email);
    CREATE INDEX businesses_city_idx ON businesses (city);
    CREATE INDEX businesses_country_idx ON businesses (country);
    CREATE INDEX businesses_deleted_at_idx ON businesses (deleted_at);
END
$$;
