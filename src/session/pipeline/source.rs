//! What a file's header settles.
//!
//! In: the decoder's header. Out: the mapping, whether the file is an export of rejected rows, and the
//! [`SourceLayout`] that the ledger keeps. Pure.

use crate::decode::SourceHeader;
use crate::decode::returned::Returned;
use crate::mapping::{Mapping, SourceColumns};
use crate::model::import::Failure;
use crate::model::layout::{SourceLayout, own_columns};

use super::Pipeline;

/// Resolves the mapping; of an export of rejected rows the header becomes that of the source.
pub(super) fn open(
    pipeline: &Pipeline,
    header: &mut SourceHeader,
) -> Result<(Mapping, Option<Returned>), Failure> {
    let mut returned = Returned::recognise(header);
    let spec = &pipeline.spec;
    let mapping_spec = spec.mapping_spec(pipeline.create_time_ms, &header.sheet);
    let sheet = format!("sheet {:?}", header.sheet);
    let columns = SourceColumns {
        names: &header.names,
        has_header: header.has_header,
        where_: if header.sheet.is_empty() { "" } else { &sheet },
    };
    let mapping = Mapping::resolve(&pipeline.table, &mapping_spec, columns)?;
    if let Some(returned) = &mut returned {
        returned.leave_out(mapping.unread());
    }
    Ok((mapping, returned))
}

/// The layout of a file with this header.
pub(super) fn layout(header: &SourceHeader, mapping: &Mapping) -> SourceLayout {
    let names = if header.has_header {
        let own = own_columns(&header.names);
        // A column of ours that a rule reads is the source's own here.
        let own = own.filter(|own| own.len() == mapping.unread().len());
        let n_names = own.map_or(header.names.len(), |own| own.start);
        header.names[..n_names].to_vec()
    } else {
        by_position(mapping)
    };
    SourceLayout {
        format: Some(header.format),
        sheet: header.sheet.clone(),
        names,
        has_header: header.has_header,
    }
}

/// The column of the table that each position feeds, the first where it feeds several.
fn by_position(mapping: &Mapping) -> Vec<String> {
    let mut names = vec![String::new(); mapping.n_source_columns()];
    for column in mapping.effective() {
        let position = column.source_index.and_then(|at| usize::try_from(at).ok());
        if let Some(name) = position.and_then(|at| names.get_mut(at - 1))
            && name.is_empty()
        {
            name.clone_from(&column.target_column);
        }
    }
    names
}
