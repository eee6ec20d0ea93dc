//! The ten labels as the models number them.

use tidegate_core::labels::Label;

/// One number for each label, in the order of [`Label::ALL`].
pub type Row = [f32; Label::COUNT];

/// The labels' names, in the order of every model's outputs.
pub(crate) fn names() -> [&'static str; Label::COUNT] {
    std::array::from_fn(|label| Label::ALL[label].as_str())
}
