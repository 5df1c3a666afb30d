//! Text checks of two questions, in English and Chinese.

pub(crate) mod chinese;
pub(crate) mod chinese_lexicon;
pub(crate) mod comparison;
pub(crate) mod english;
pub(crate) mod english_lexicon;
pub(crate) mod focus;
pub(crate) mod lexicon;
pub(crate) mod numbers;
pub(crate) mod question;
pub(crate) mod words;
