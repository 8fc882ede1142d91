//! Which kind of workbook a file is, by its content.
//!
//! In: the file. Out: a [`Container`], or the reason why it is none. Reads magic bytes and the
//! zip's directory only.

use crate::decode::error::{DecodeError, shown};
use crate::decode::sheet::corrupt;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::package::Package;
use crate::model::import::FileFormat;

const OLE2_MAGIC: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// Kinds of workbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// XML in a zip, with or without macros.
    Xlsx,
    /// Binary parts in a zip.
    Xlsb,
    /// OpenDocument in a zip.
    Ods,
    /// OLE2; whether there is a workbook in it shows when it is read.
    Xls,
}

// === impl Container ===

impl Container {
    /// The kind of `file`.
    pub(crate) fn of(file: &SharedFile) -> Result<Container, DecodeError> {
        let head = file
            .head::<8>()
            .map_err(|error| DecodeError::io("read the spool", &error))?;
        if head.starts_with(b"PK\x03\x04") {
            return Container::of_zip(&mut Package::open(file)?);
        }
        if head == OLE2_MAGIC {
            return Ok(Container::Xls);
        }
        let is_cut =
            !head.is_empty() && (b"PK\x03\x04".starts_with(&head) || OLE2_MAGIC.starts_with(&head));
        if is_cut || head.starts_with(b"PK") {
            return Err(corrupt("the file is too short to be a workbook"));
        }
        if head.is_empty() {
            return Err(DecodeError::NoHeader {
                row: 1,
                why: "the file has 0 bytes".to_owned(),
            });
        }
        Err(DecodeError::unsupported("the file is no workbook"))
    }

    /// The format that callers are told.
    pub(crate) fn format(self) -> FileFormat {
        match self {
            Container::Xlsx => FileFormat::Xlsx,
            Container::Xlsb => FileFormat::Xlsb,
            Container::Ods => FileFormat::Ods,
            Container::Xls => FileFormat::Xls,
        }
    }

    fn of_zip(package: &mut Package) -> Result<Container, DecodeError> {
        let has = |package: &Package, path: &str| {
            package
                .names()
                .iter()
                .any(|name| name.eq_ignore_ascii_case(path))
        };
        if has(package, "mimetype") {
            let mimetype = package.small_part("mimetype")?.unwrap_or_default();
            return match mimetype.trim_ascii() {
                b"application/vnd.oasis.opendocument.spreadsheet" => Ok(Container::Ods),
                other => Err(DecodeError::unsupported(format!(
                    "the file is {}, no workbook",
                    shown(&String::from_utf8_lossy(other))
                ))),
            };
        }
        if has(package, "_rels/.rels") {
            let (folder, name) = package.main_part()?;
            let kind = package.content_type(&format!("{folder}{name}"))?;
            let is = |what: &str| kind.contains(what);
            if is("ms-excel.sheet.binary") {
                return Ok(Container::Xlsb);
            }
            if is("spreadsheetml") || is("ms-excel") {
                return Ok(Container::Xlsx);
            }
            // Some programs give no type, or a general one; the folder is the usual one then.
            if folder == "xl/" {
                let is_binary = name.rsplit('.').next() == Some("bin");
                return Ok(if is_binary {
                    Container::Xlsb
                } else {
                    Container::Xlsx
                });
            }
            return Err(DecodeError::unsupported(format!(
                "the file is \"{}\", no workbook",
                shown(&kind)
            )));
        }
        if package
            .names()
            .iter()
            .any(|name| name.starts_with("Index/") || name == "Index.zip")
        {
            return Err(DecodeError::unsupported(
                "the file is a Numbers or Pages document",
            ));
        }
        Err(DecodeError::unsupported(
            "the file is a zip archive without a workbook",
        ))
    }
}
