//! Compiles `proto/` with protox (no protoc needed) into `OUT_DIR`: messages, server, client and
//! the descriptor set that reflection and the command line's JSON output read.

use std::path::PathBuf;

use protox::prost::Message;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells build scripts by variables"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(
        [
            "rowlift/v1/import_service.proto",
            "google/rpc/error_details.proto",
        ],
        ["proto"],
    )?;
    std::fs::write(
        out_dir.join("rowlift_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".rowlift.v1.FileChunk.data")
        .bytes(".rowlift.v1.RowBatch.position")
        .bytes(".rowlift.v1.PackedRows.cells")
        .bytes(".rowlift.v1.PackedRows.position")
        .bytes(".rowlift.v1.ExportRejectedRowsResponse.data")
        .btree_map(".rowlift.v1")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
