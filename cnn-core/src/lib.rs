//! A convolutional network for 28×28 digits, forward and backward, with **one defined result, bit for bit**.
//!
//! This crate is the specification of the project's arithmetic and its plain form at once: it runs unchanged on a
//! microcontroller (no heap, no `unsafe`, weights borrowed from flash), and every faster form of the same network —
//! SIMD, threads, CUDA — is tested against it for equality of bits.
//!
//! # From a model file to logits
//!
//! ```
//! use cnn_core::image::Pixels;
//! use cnn_core::model::{Model, ModelError};
//! use cnn_core::network::{Activations, Logits, PARAMETER_COUNT, Parameters, logits, predict};
//!
//! /// The ten logits of a digit: 28×28 grey values, 0 the background, 255 the ink.
//! fn classify(file: &[u8], pixels: &Pixels) -> Result<Logits, ModelError> {
//!     // Checks magic, version, length, checksum, shapes and the range of every parameter.
//!     let model = Model::parse(file)?;
//!     // A microcontroller borrows them from its flash instead: `Model::parameters`.
//!     let mut parameters = [0.0; PARAMETER_COUNT];
//!     model.copy_parameters(&mut parameters);
//!     let (parameters, mut activations) = (Parameters::of(&parameters), Activations::new());
//!     // The golden image must give the file's logits, bit for bit, or this machine's arithmetic is another.
//!     model.self_test(&parameters, &mut activations)?;
//!     Ok(logits(pixels, &parameters, &mut activations))
//! }
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/model/mnist.cnnm");
//! let file = std::fs::read(path)?;
//! let golden = *Model::parse(&file)?.golden_pixels();
//! let logits = classify(&file, &golden)?;
//! assert_eq!(logits, Model::parse(&file)?.metadata().golden.logits);
//! println!("a {}", predict(&logits));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! All are on by default; without them the arithmetic alone is left, with two dependencies.
//!
//! | feature | what it adds |
//! |---|---|
//! | `model` | [`model`], [`learn`] and [`text`] |
//! | `protocol` | [`protocol`], and `model`, of which the protocol speaks |
//! | `prepare` | [`image::prepare`](fn@image::prepare) and what belongs to it |
//!
//! # Versions
//!
//! The bits are part of the interface: a change of any result is a new major version, as a change of an item is.
//! Before 1.0 the minor version takes that place. The least Rust version is that of `Cargo.toml`; raising it is a new
//! minor version.
//!
//! # The contract
//!
//! 1. All arithmetic is IEEE-754 binary32, rounded to nearest even, with subnormals. The only operations are
//!    `+ - * /`, comparisons, selections and conversions between integers and floats. Every product is rounded before
//!    it is added: nothing is fused, nothing is reassociated. Plain Rust guarantees exactly this on every target.
//! 2. Every sum has one order, given in the docs of the function that computes it. A faster form may compute different
//!    *outputs* side by side; it never splits or reorders the terms of one output.
//! 3. A sum that starts from +0.0 never becomes −0.0, so in such a sum terms that are ±0.0 may be skipped or added.
//!    Sums that start from a bias skip nothing, unless ReLU follows and takes the sign of a zero away.
//! 4. Nothing overflows, so NaN and infinity never arise: parameters have a magnitude below 2²⁴ ([`range`]). Others are
//!    refused, and a training step after which one is not ends the run.
//!
//! # Where to look
//!
//! | module | subject |
//! |---|---|
//! | [`shapes`], [`network`] | shapes and parameters; the forward pass |
//! | [`conv`], [`linear`], [`loss`], [`sgd`] | each operation, forward and backward side by side |
//! | [`int8`] | the network in integers: a contract of its own |
//! | [`math`] | the one `exp` and the one `ln` |
//! | [`range`] | the range of the parameters, inside which nothing overflows |
//! | [`environment`] | whether this machine's arithmetic is the contract's |
//! | [`train`] | the gradient of a sample, one step over a batch |
//! | [`head`], [`learn`] | fc2 alone, and how it learns from samples on a board |
//! | [`image`] | pixels to network input; a person's own digit prepared as MNIST's were |
//! | [`model`] | the model file, read in place |
//! | [`protocol`] | what a host and a board say to each other |
//! | [`text`] | what a name in either may hold |
#![no_std]
#![forbid(unsafe_code)]

pub mod conv;
pub mod environment;
pub mod head;
pub mod image;
pub mod int8;
#[cfg(feature = "model")]
pub mod learn;
pub mod linear;
pub mod loss;
pub mod math;
#[cfg(feature = "model")]
pub mod model;
pub mod network;
#[cfg(feature = "protocol")]
pub mod protocol;
pub mod range;
pub mod sgd;
pub mod shapes;
#[cfg(feature = "model")]
pub mod text;
pub mod train;
