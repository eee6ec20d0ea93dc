//! The ten labels as the models number them.

/// How many labels there are.
pub const LABEL_COUNT: usize = 10;

/// One number for each label, in the order of [`LABEL_NAMES`].
pub type Row = [f32; LABEL_COUNT];

/// The labels' names, in the order of every model's outputs.
pub const LABEL_NAMES: [&str; LABEL_COUNT] = [
    "spam",
    "hate",
    "abuse",
    "purchase_intent",
    "support",
    "risk",
    "collab",
    "question",
    "negative",
    "positive",
];
