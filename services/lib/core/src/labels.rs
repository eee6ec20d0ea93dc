//! The ten labels, and the numbers that are said about them.

use std::ops::Index;

use serde::{Deserialize, Serialize, de, ser::SerializeMap};

use crate::names::{Set, closed_names};

closed_names! {
    /// What a message can be. Multi-label: a message can be several, or none.
    ///
    /// The order is that of every model's outputs and of every list of scores.
    Label {
        /// Unsolicited promotion, scam, phishing, fake giveaway, bot text.
        Spam = "spam",
        /// Attacks or demeans people for a protected characteristic.
        Hate = "hate",
        /// Insult, harassment, threat or demeaning profanity aimed at someone.
        Abuse = "abuse",
        /// Wants to buy.
        PurchaseIntent = "purchase_intent",
        /// An existing customer's problem or request for help.
        Support = "support",
        /// Legal threat, injury, fraud, crisis, privacy, child safety, discrimination.
        Risk = "risk",
        /// Creator, affiliate, wholesale, press or partnership enquiry.
        Collab = "collab",
        /// Really asks something.
        Question = "question",
        /// Voiced dissatisfaction.
        Negative = "negative",
        /// Praise, thanks, delight.
        Positive = "positive",
    }
}

impl Label {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// Some of the labels.
pub type LabelSet = Set<Label>;

/// A number that is no probability.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not between 0 and 1")]
pub struct OutOfRange(pub f32);

/// How likely something is: 0 to 1, checked when made.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f32);

impl Probability {
    /// Never.
    pub const ZERO: Self = Self(0.0);
    /// Always.
    pub const ONE: Self = Self(1.0);

    /// Checks the number.
    ///
    /// # Errors
    /// It is below 0, above 1 or not a number.
    pub fn new(value: f32) -> Result<Self, OutOfRange> {
        // A NaN is in no range. Adding zero turns -0 into 0.
        (0.0..=1.0)
            .contains(&value)
            .then_some(Self(value + 0.0))
            .ok_or(OutOfRange(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }

    /// In ten-thousandths, rounded: more would claim a precision that no model has.
    pub(crate) fn ten_thousandths(self) -> u16 {
        // The cast cuts off, so that half is added: faster than rounding, and the same from 0 to 1.
        (self.0 * 10_000.0 + 0.5) as u16
    }

    /// Whether it reaches `threshold`.
    #[must_use]
    pub fn reaches(self, threshold: Threshold) -> bool {
        self.0 >= threshold.0.0
    }
}

/// Written with at most four decimals.
impl Serialize for Probability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(f32::from(self.ten_thousandths()) / 10_000.0)
    }
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The probability from which on something counts.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Threshold(Probability);

impl Threshold {
    /// Checks the number.
    ///
    /// # Errors
    /// It is below 0, above 1 or not a number.
    pub fn new(value: f32) -> Result<Self, OutOfRange> {
        Probability::new(value).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0.get()
    }
}

impl From<Threshold> for Probability {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// One probability for each label. Written as a map from name to number, in the labels' order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores(pub [Probability; Label::COUNT]);

impl Scores {
    /// Checks a model's row, in the order of [`Label::ALL`].
    ///
    /// # Errors
    /// A number is below 0, above 1 or not a number.
    pub fn new(row: [f32; Label::COUNT]) -> Result<Self, OutOfRange> {
        let mut scores = Self::default();
        for (score, value) in scores.0.iter_mut().zip(row) {
            *score = Probability::new(value)?;
        }
        Ok(scores)
    }

    /// Each label with its probability.
    pub fn iter(&self) -> impl Iterator<Item = (Label, Probability)> + '_ {
        Label::ALL.iter().copied().zip(self.0)
    }
}

impl Index<Label> for Scores {
    type Output = Probability;

    fn index(&self, label: Label) -> &Probability {
        &self.0[label.index()]
    }
}

impl Serialize for Scores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Label::COUNT))?;
        for (label, score) in self.iter() {
            map.serialize_entry(label.as_str(), &score)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<Label, Probability>::deserialize(deserializer)?;
        let mut scores = Self::default();
        for &label in Label::ALL {
            scores.0[label.index()] = *map
                .get(&label)
                .ok_or_else(|| de::Error::missing_field(label.as_str()))?;
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_stand_in_the_order_of_the_models_outputs() {
        let names: Vec<_> = Label::ALL.iter().map(|label| label.as_str()).collect();
        assert_eq!(
            names.join(" "),
            "spam hate abuse purchase_intent support risk collab question negative positive"
        );
        assert!(
            Label::ALL
                .iter()
                .enumerate()
                .all(|(i, label)| label.index() == i)
        );
    }

    #[test]
    fn a_name_gives_its_label_in_text_and_in_json() {
        for &label in Label::ALL {
            assert_eq!(label.as_str().parse(), Ok(label));
            assert_eq!(
                serde_json::to_string(&label).unwrap(),
                format!("\"{label}\"")
            );
        }
        assert!("toxicity".parse::<Label>().is_err());
    }

    #[test]
    fn a_probability_outside_its_range_or_not_a_number_is_refused() {
        for bad in [-0.01, 1.01, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(Probability::new(bad).is_err(), "{bad}");
            assert!(Threshold::new(bad).is_err(), "{bad}");
        }
        assert!(Scores::new([f32::NAN; 10]).is_err());
        assert_eq!(Probability::new(-0.0).unwrap().get().to_bits(), 0);
    }

    #[test]
    fn scores_are_a_map_in_order_with_at_most_four_decimals() {
        let scores =
            Scores::new([0.123_456, 0.0, 1.0, 0.5, 0.000_04, 0.1, 0.2, 0.3, 0.4, 0.9]).unwrap();
        let json = serde_json::to_string(&scores).unwrap();
        assert_eq!(
            json,
            r#"{"spam":0.1235,"hate":0.0,"abuse":1.0,"purchase_intent":0.5,"support":0.0,"risk":0.1,"collab":0.2,"question":0.3,"negative":0.4,"positive":0.9}"#
        );
        assert!(serde_json::from_str::<Scores>(&json).is_ok());
        assert!(serde_json::from_str::<Scores>(r#"{"spam":0.1}"#).is_err());
    }
}
