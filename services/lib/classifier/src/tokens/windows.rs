//! The tokens of a batch of texts, and the windows that cover them.

/// A stretch of a text's tokens that is scored as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The text's number within the batch.
    pub text: u32,
    /// Where its tokens start among those of the batch.
    pub start: u32,
    /// How many tokens of the text it has; start and end token are not among them.
    pub len: u32,
}

/// The windows of a batch of texts. Kept between batches so that its buffers are used again.
#[derive(Debug, Default)]
pub struct Windows {
    ids: Vec<i32>,
    windows: Vec<Window>,
    texts: u32,
}

impl Windows {
    /// Forgets all texts.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.windows.clear();
        self.texts = 0;
    }

    /// All windows, in the order of their texts.
    #[must_use]
    pub fn all(&self) -> &[Window] {
        &self.windows
    }

    /// How many texts there are.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.texts as usize
    }

    /// The tokens of one window.
    #[must_use]
    pub fn ids(&self, window: Window) -> &[i32] {
        let start = window.start as usize;
        &self.ids[start..start + window.len as usize]
    }

    /// Adds a text whose tokens `fill` appends, in windows of at most `width` tokens that begin
    /// `stride` tokens apart. The last window is the first that reaches the end.
    pub fn push(&mut self, width: usize, stride: usize, fill: impl FnOnce(&mut Vec<i32>)) {
        let mut start = self.ids.len();
        fill(&mut self.ids);
        loop {
            let len = (self.ids.len() - start).min(width);
            self.windows.push(Window {
                text: self.texts,
                start: start as u32,
                len: len as u32,
            });
            if start + width >= self.ids.len() {
                break;
            }
            start += stride;
        }
        self.texts += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(tokens: usize, width: usize, stride: usize) -> Vec<(u32, u32)> {
        let mut windows = Windows::default();
        windows.push(width, stride, |ids| ids.extend(0..tokens as i32));
        windows
            .all()
            .iter()
            .map(|window| (window.start, window.len))
            .collect()
    }

    #[test]
    fn a_text_that_fits_has_one_window_even_when_it_is_empty() {
        assert_eq!(spans(0, 128, 96), [(0, 0)]);
        assert_eq!(spans(128, 128, 96), [(0, 128)]);
    }

    #[test]
    fn a_longer_text_has_windows_that_overlap_up_to_its_end() {
        assert_eq!(spans(129, 128, 96), [(0, 128), (96, 33)]);
        assert_eq!(spans(225, 128, 96), [(0, 128), (96, 128), (192, 33)]);
    }

    proptest! {
        #[test]
        fn every_token_is_in_a_window(tokens in 0usize..2000, width in 1usize..200, stride in 1usize..200) {
            prop_assume!(stride <= width);
            let mut covered = 0;
            for (start, len) in spans(tokens, width, stride) {
                prop_assert!(start as usize <= covered);
                covered = (start + len) as usize;
            }
            prop_assert_eq!(covered, tokens);
        }
    }
}
