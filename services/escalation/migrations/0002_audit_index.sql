-- Most entries tell of a case's opening, and have its number: they are found by that, and an index of
-- names, which come in no order, would be a page to write for each case. Once the payload is gone,
-- the case may be, too; then the entry is in the index like all others.
DROP INDEX audit_of_resource;
CREATE INDEX audit_of_resource ON audit (resource, sequence)
    WHERE action <> 'case.open' OR length(payload) = 0;
