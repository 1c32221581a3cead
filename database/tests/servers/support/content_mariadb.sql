CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, by_user int NOT NULL, amount int NOT NULL DEFAULT 5,
  doubled int AS (amount * 2) STORED, tripled int AS (amount * 3) VIRTUAL) AUTO_INCREMENT = 500;
CREATE TABLE users (id int AUTO_INCREMENT PRIMARY KEY, login varchar(40) UNIQUE, note text);
ALTER TABLE orders ADD CONSTRAINT of_user FOREIGN KEY (by_user) REFERENCES users (id);
CREATE SEQUENCE numbers START WITH 40;
DO NEXTVAL(numbers);
CREATE FUNCTION twice(x int) RETURNS int DETERMINISTIC BEGIN DECLARE y int; SET y = 2 * x; RETURN y; END;
CREATE PROCEDURE touch() BEGIN UPDATE users SET note = 'touched'; SELECT 1; END;
CREATE VIEW zz_logins AS SELECT login FROM users;
CREATE VIEW aa_upper AS SELECT upper(login) AS l, twice(2) AS four FROM zz_logins;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO users (id, login, note) VALUES (0, 'zero', 'key 0'), (1, 'ann', 'it''s; fine'), (2, 'bob', NULL);
INSERT INTO orders (by_user) VALUES (1), (2), (2);
