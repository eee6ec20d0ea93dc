//! Text to scores: models, tokens, batches, sessions and the cascade.
