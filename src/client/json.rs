//! Messages as proto3 JSON, one line each, for machines.
//!
//! In: a message of the contract. Out: its JSON by the proto3 mapping: lowerCamelCase names,
//! 64-bit integers as texts, enums by name, fields that hold their default left out.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::proto::{
    FILE_DESCRIPTOR_SET, ImportJob, ImportResponse, ImportResult, InspectFileResponse, RejectedRow,
    Row, Sheet, Table,
};

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build compiled the descriptors")
});

/// A message that the command line prints as JSON.
pub trait JsonMessage: Message {
    /// The message's full name in the contract.
    const NAME: &'static str;
}

macro_rules! json_messages {
    ($($message:ident),+) => {
        $(impl JsonMessage for $message {
            const NAME: &'static str = concat!("rowlift.v1.", stringify!($message));
        })+
    };
}

json_messages!(
    ImportResponse,
    ImportResult,
    ImportJob,
    RejectedRow,
    Table,
    InspectFileResponse,
    Sheet,
    Row
);

/// The message as one line of JSON. A status detail of a type that this program does not know
/// has no JSON form: the line then is an object with the reason under `unprintable`.
pub fn line<M: JsonMessage>(message: &M) -> String {
    let descriptor = DESCRIPTORS
        .get_message_by_name(M::NAME)
        .expect("the contract holds the message");
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .expect("the message was encoded by the same contract");
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let options = SerializeOptions::new();
    match dynamic.serialize_with_options(&mut serializer, &options) {
        Ok(()) => String::from_utf8(json).expect("JSON is UTF-8"),
        Err(error) => serde_json::json!({ "unprintable": error.to_string() }).to_string(),
    }
}

#[cfg(test)]
mod tests;
