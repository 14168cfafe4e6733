//! The identity of parameters: equal fingerprints, equal bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 of parameters as little-endian f32: a network's in the order of [`cnn_core::network::TENSORS`], a head's in that
/// of [`cnn_core::head`].
///
/// Shown, parsed and saved as 64 hexadecimal digits; in a binary format its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(#[serde(with = "sha256")] [u8; 32]);

/// How serde saves a SHA-256: 64 hexadecimal digits in a format that people read, its 32 bytes in one they do not.
pub mod sha256 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// For serde.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            hex::serde::serialize(hash, serializer)
        } else {
            hash.serialize(serializer)
        }
    }

    /// For serde.
    ///
    /// # Errors
    /// If there is anything but 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        if deserializer.is_human_readable() {
            hex::serde::deserialize(deserializer)
        } else {
            Deserialize::deserialize(deserializer)
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a network's parameters, or of a head's; the same on hosts of either byte order.
    pub fn of<const COUNT: usize>(parameters: &[f32; COUNT]) -> Self {
        // In one piece: four bytes at a time, the calls would cost more than the hash.
        let bytes: Vec<u8> = parameters.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::of_bytes(&bytes)
    }

    /// SHA-256 of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 hexadecimal digits: enough for the eye.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a fingerprint: expected 64 hexadecimal digits")]
pub struct ParseFingerprintError {
    text: String,
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| ParseFingerprintError { text: text.into() })?;
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::network::FlatParameters;

    use super::*;
    use crate::backend::boxed_zeros;

    /// As Python sees it: `sha256(struct.pack("<102130f", 1.0, -2.5, *[0.0] * 102128)).hexdigest()`.
    const KNOWN: &str = "66ad84dcfc9aaf599d98cc1bd03ceec3460d9d1f00cd3a771a7b58a27906bec8";

    fn known_parameters() -> Box<FlatParameters> {
        let mut parameters = boxed_zeros();
        parameters[0] = 1.0;
        parameters[1] = -2.5;
        parameters
    }

    #[test]
    fn the_fingerprint_is_the_sha256_of_little_endian_floats() {
        let fingerprint = Fingerprint::of(&known_parameters());
        assert_eq!(fingerprint.to_string(), KNOWN);
        assert_eq!(fingerprint.short(), &KNOWN[..16]);
    }

    #[test]
    fn one_changed_bit_changes_the_fingerprint() {
        let mut parameters = known_parameters();
        parameters[100_000] = -0.0;
        assert_ne!(Fingerprint::of(&parameters), Fingerprint::of(&known_parameters()));
    }

    #[test]
    fn text_and_json_give_the_fingerprint_back() {
        let fingerprint: Fingerprint = KNOWN.parse().unwrap();
        assert_eq!(fingerprint, Fingerprint::of(&known_parameters()));
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(json, format!("\"{KNOWN}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "12", &KNOWN[1..], &format!("{KNOWN}0"), &KNOWN.replace('1', "g")] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
            assert!(serde_json::from_str::<Fingerprint>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }
}
