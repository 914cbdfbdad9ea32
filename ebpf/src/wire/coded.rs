//! Enums whose codes are part of the contract of kernel and agent.

/// Defines an enum of one byte with [`ALL`] and [`from_code`] from one list, and, where the list has
/// texts, `name`. Codes are to leave no gap.
///
/// [`ALL`]: super::protocol::Protocol::ALL
/// [`from_code`]: super::protocol::Protocol::from_code
macro_rules! coded {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)*
    }) => {
        $crate::wire::coded::coded! {
            $(#[$meta])* $name { $($(#[$doc])* $variant = $code,)* }
        }

        impl $name {
            /// As in JSON and in metric labels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident = $code:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)*
        }

        impl $name {
            /// Every one, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The one with this code, if there is one.
            #[inline(always)]
            pub const fn from_code(code: u8) -> Option<Self> {
                Some(match code {
                    $($code => Self::$variant,)*
                    _ => return None,
                })
            }
        }
    };
}
pub(super) use coded;
