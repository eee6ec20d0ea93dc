"""The ten labels, in the order that the models and their manifests use."""

LABELS = [
    "spam", "hate", "abuse", "purchase_intent", "support",
    "risk", "collab", "question", "negative", "positive",
]
INDEX = {name: position for position, name in enumerate(LABELS)}

# Letter codes of the first column of `authored/*.tsv`.
CODES = {
    "S": "spam", "H": "hate", "A": "abuse", "P": "purchase_intent", "U": "support",
    "R": "risk", "C": "collab", "Q": "question", "N": "negative", "G": "positive",
}

# The labels that decide routing; the headline macro-F1 is their mean.
HEADLINE = ["purchase_intent", "support", "spam", "abuse", "risk", "collab"]
