//! What moderation means: events, labels, policy, verdicts and routes. Pure.
