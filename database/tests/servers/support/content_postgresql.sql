CREATE TABLE users (id serial PRIMARY KEY, login text UNIQUE, note text);
CREATE TABLE orders (id serial PRIMARY KEY, by_user int REFERENCES users (id));
CREATE VIEW logins AS SELECT login FROM users;
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 2 * x; END $$;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO pg_monitor;
INSERT INTO users (login, note) VALUES ('ann', 'it''s; fine'), ('bob', NULL);
INSERT INTO orders (by_user) VALUES (1), (2), (2);
