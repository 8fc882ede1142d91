use proptest::prelude::*;

use super::{
    MESSAGE_BYTES_MAX, Message, ProtocolError, RoomAnswer, RoomRequest, Totals, read_message,
};
use crate::decode::SourceHeader;
use crate::decode::error::DecodeError;
use crate::decode::survey::SheetEntry;
use crate::model::cell::Cell;
use crate::model::frame::FrameBuilder;
use crate::model::import::FileFormat;

fn header() -> SourceHeader {
    SourceHeader {
        format: FileFormat::Xlsx,
        sheet: "Q3 \u{202e}\n".to_owned(),
        names: vec!["name".to_owned(), String::new()],
        is_hidden: false,
        header_row: 1,
        has_header: true,
        first_data_row_number: 2,
        n_rows_hint: None,
    }
}

fn entry() -> SheetEntry {
    SheetEntry {
        format: FileFormat::Ods,
        name: "Hidden".to_owned(),
        is_hidden: true,
        is_read: false,
    }
}

/// One message of every kind.
fn stream() -> (Vec<u8>, Vec<Message>) {
    let mut builder = FrameBuilder::new();
    builder.begin_row(0, 2, "");
    builder.push(Cell::Text("a"));
    builder.end_row();
    let frame = builder.take();
    let totals = Totals { n_rows: 1 };
    let failure = DecodeError::limit("cell_chars_max", 40_000, 32_767);
    let mut pipe = Vec::new();
    super::write_header(&mut pipe, &header()).unwrap();
    super::write_rows(&mut pipe, &frame).unwrap();
    super::write_sheet(&mut pipe, &entry()).unwrap();
    super::write_end(&mut pipe, totals).unwrap();
    super::write_failure(&mut pipe, &failure).unwrap();
    let room = RoomRequest { n_bytes: 1 << 40 };
    super::write_room_request(&mut pipe, room).unwrap();
    let messages = vec![
        Message::Header(header()),
        Message::Rows(frame),
        Message::Sheet(entry()),
        Message::End(totals),
        Message::Failure(failure),
        Message::Room(room),
    ];
    (pipe, messages)
}

fn read_all(mut pipe: &[u8]) -> Result<Vec<Message>, ProtocolError> {
    let mut messages = Vec::new();
    while let Some(message) = read_message(&mut pipe)? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn every_message_comes_back() {
    let (pipe, messages) = stream();
    assert_eq!(read_all(&pipe).unwrap(), messages);
}

#[test]
fn an_answer_comes_back() {
    for answer in [RoomAnswer::Granted, RoomAnswer::Refused] {
        let mut pipe = Vec::new();
        super::write_answer(&mut pipe, answer).unwrap();
        assert_eq!(super::read_answer(&mut pipe.as_slice()).unwrap(), answer);
    }
    assert!(super::read_answer(&mut &b"?"[..]).is_err());
    assert!(super::read_answer(&mut &b""[..]).is_err());
}

#[test]
fn a_stream_cut_anywhere_is_shorter_or_refused() {
    let (pipe, messages) = stream();
    for cut in 0..pipe.len() {
        match read_all(&pipe[..cut]) {
            Ok(read) => assert_eq!(read, messages[..read.len()], "cut at {cut}"),
            Err(error) => assert!(matches!(error, ProtocolError::Cut), "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn an_announced_length_costs_nothing_until_it_arrives() {
    let length = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
    let [a, b, c, d] = length.to_le_bytes();
    let error = read_message(&mut &[b'R', a, b, c, d, 0][..]).unwrap_err();
    assert!(matches!(error, ProtocolError::Cut), "{error}");
    let [a, b, c, d] = (length + 1).to_le_bytes();
    let error = read_message(&mut &[b'R', a, b, c, d][..]).unwrap_err();
    assert!(matches!(error, ProtocolError::TooLong(_)), "{error}");
    let error = read_message(&mut &[b'?', 0, 0, 0, 0][..]).unwrap_err();
    assert!(matches!(error, ProtocolError::UnknownKind(b'?')), "{error}");
}

proptest! {
    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..1000, value in any::<u8>()) {
        let (mut pipe, _) = stream();
        let at = at % pipe.len();
        pipe[at] = value;
        drop(read_all(&pipe));
    }
}
