//! Enums whose values have a name and a number: the vocabulary of scenes and the labels of evaluation.

/// Defines a field-less enum with `ALL`, `name()`, `index()` and `from_name()`.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// All values, in the order of their [`index`](Self::index).
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name: lower case, words joined by `-`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Its number, which is its label in evaluation.
            pub fn index(self) -> usize {
                self as usize
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }
    };
}

pub(crate) use named_enum;

#[cfg(test)]
mod tests {
    use crate::{Background, Motion};

    #[test]
    fn names_and_numbers_lead_back() {
        for (number, motion) in Motion::ALL.iter().enumerate() {
            assert_eq!(motion.index(), number);
            assert_eq!(Motion::from_name(motion.name()), Some(*motion));
        }
        assert_eq!(Background::from_name("nowhere"), None);
    }
}
