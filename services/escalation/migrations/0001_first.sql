-- One text for SQLite and PostgreSQL: {blob} and {key} stand for what they call differently.
-- No column is ever NULL: 0 and '' mean that there is nothing. Times are milliseconds since the
-- Unix epoch. Enums are the contract's numbers.

-- What is true of the whole database.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- `body` is the case (tidegate.escalation.v1.Case); the other columns are what it is found by.
CREATE TABLE cases (
    -- The number of the audit entry that tells of its opening.
    num {key},
    name TEXT NOT NULL UNIQUE,
    platform TEXT NOT NULL,
    brand TEXT NOT NULL,
    event_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    author_id TEXT NOT NULL,
    channel BIGINT NOT NULL,
    lang TEXT NOT NULL,
    source BIGINT NOT NULL,
    policy_version TEXT NOT NULL,
    -- One bit for each label.
    labels BIGINT NOT NULL,
    -- Codes between bars: |a|b|
    reasons TEXT NOT NULL,
    -- Whether it names an order: such cases are kept longer.
    transactional BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    state BIGINT NOT NULL,
    queue TEXT NOT NULL,
    priority BIGINT NOT NULL,
    -- See rank.rs.
    rank BIGINT NOT NULL,
    due_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    close_time BIGINT NOT NULL,
    breached BIGINT NOT NULL,
    assigned_to TEXT NOT NULL,
    lease_agent TEXT NOT NULL,
    -- Who decided first, while a second person is wanted.
    decided_by TEXT NOT NULL,
    -- When a lease or hold ends.
    wake_time BIGINT NOT NULL,
    -- When the next warning or breach is to be noted.
    alarm_time BIGINT NOT NULL,
    body {blob} NOT NULL
);
-- What lists walk along (see list.rs). The last two columns of the first are for counts, which so
-- read no cases.
CREATE INDEX cases_of_queue ON cases (queue, state, rank, num, create_time, due_time);
CREATE INDEX cases_by_due_time ON cases (state, due_time, num);
CREATE INDEX cases_by_create_time ON cases (create_time, num);
CREATE INDEX cases_by_update_time ON cases (update_time, num);
CREATE INDEX cases_of_event ON cases (event_id);
CREATE INDEX cases_of_author ON cases (author_id) WHERE author_id <> '';
CREATE INDEX cases_of_conversation ON cases (conversation_id) WHERE conversation_id <> '';
CREATE INDEX cases_assigned ON cases (assigned_to) WHERE assigned_to <> '';
CREATE INDEX cases_leased ON cases (lease_agent) WHERE lease_agent <> '';
CREATE INDEX cases_to_wake ON cases (wake_time) WHERE wake_time > 0;
CREATE INDEX cases_to_alarm ON cases (alarm_time) WHERE alarm_time > 0;
CREATE INDEX cases_closed ON cases (transactional, close_time) WHERE close_time > 0;

-- Who does not want to be offered what again.
CREATE TABLE skips (
    num BIGINT NOT NULL,
    agent TEXT NOT NULL,
    PRIMARY KEY (num, agent)
);

-- Messages of a flood that another case stands for; `body` is the case each would have been.
CREATE TABLE grouped (
    name TEXT PRIMARY KEY,
    head BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    platform TEXT NOT NULL,
    author_id TEXT NOT NULL,
    body {blob} NOT NULL
);
CREATE INDEX grouped_of_head ON grouped (head);
CREATE INDEX grouped_of_event ON grouped (event_id);
CREATE INDEX grouped_of_author ON grouped (author_id);

-- How many cases a rule or author opened in this minute, and which one stands for more.
CREATE TABLE floods (
    source TEXT PRIMARY KEY,
    since BIGINT NOT NULL,
    opened BIGINT NOT NULL,
    head TEXT NOT NULL
);

-- See audit.rs. The one row of audit_head is what writers take turns by.
CREATE TABLE audit (
    sequence {key},
    time BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    payload_hash {blob} NOT NULL,
    hash {blob} NOT NULL,
    payload {blob} NOT NULL,
    salt {blob} NOT NULL,
    -- For watchers: the queue of the case before the change; empty if nothing changed to be seen.
    watched TEXT NOT NULL
);
CREATE INDEX audit_of_resource ON audit (resource, sequence);
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash {blob} NOT NULL
);

-- What is to be published. Rows go once they are.
CREATE TABLE outbox (
    sequence {key},
    num BIGINT NOT NULL,
    body {blob} NOT NULL
);
CREATE INDEX outbox_of_case ON outbox (num);

-- Answers for repeated request ids.
CREATE TABLE replies (
    caller TEXT NOT NULL,
    request_id TEXT NOT NULL,
    request_hash {blob} NOT NULL,
    answer {blob} NOT NULL,
    num BIGINT NOT NULL,
    time BIGINT NOT NULL,
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX replies_by_time ON replies (time);
CREATE INDEX replies_of_case ON replies (num);

-- Where reading goes on.
CREATE TABLE offsets (
    topic TEXT NOT NULL,
    part BIGINT NOT NULL,
    next BIGINT NOT NULL,
    PRIMARY KEY (topic, part)
);

-- Records that could not be read, as they came.
CREATE TABLE unreadable (
    topic TEXT NOT NULL,
    part BIGINT NOT NULL,
    place BIGINT NOT NULL,
    time BIGINT NOT NULL,
    reason TEXT NOT NULL,
    key {blob} NOT NULL,
    value {blob} NOT NULL,
    PRIMARY KEY (topic, part, place)
);
CREATE INDEX unreadable_by_time ON unreadable (time);

-- Who may do, for now, what only one process may.
CREATE TABLE process_leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until BIGINT NOT NULL
);

CREATE TABLE queues (
    name TEXT PRIMARY KEY,
    body {blob} NOT NULL
);

CREATE TABLE agents (
    name TEXT PRIMARY KEY,
    token_hash {blob} NOT NULL,
    body {blob} NOT NULL
);
CREATE INDEX agents_of_token ON agents (token_hash);
