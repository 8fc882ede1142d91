//! The generated code of `proto/rowlift/v1` and its descriptors, nothing else.
#![expect(
    clippy::all,
    clippy::pedantic,
    clippy::clone_on_ref_ptr,
    clippy::allow_attributes,
    reason = "generated code"
)]

tonic::include_proto!("rowlift.v1");

/// The encoded `FileDescriptorSet` of the contract and of `google.rpc`'s error details.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/rowlift_descriptor.bin"));
