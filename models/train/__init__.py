"""Training kit that makes the `screen` and `deep` moderation models."""
