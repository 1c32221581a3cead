//! An enum together with the list of its variants, so that a new variant cannot be missing from the list. No I/O.

/// Declares an enum without data, and `ALL`: its variants in the order of declaration.
#[macro_export]
macro_rules! listed {
    ($(#[$of_enum:meta])* pub enum $name:ident { $($(#[$of_variant:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$of_enum])*
        pub enum $name { $($(#[$of_variant])* $variant),+ }

        impl $name {
            /// All variants, in the order of declaration.
            pub const ALL: [Self; [$($name::$variant),+].len()] = [$($name::$variant),+];
        }
    };
}
