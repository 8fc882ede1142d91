use super::{STYLES_MAX, Styles};
use crate::decode::error::DecodeError;
use crate::decode::sheet::formats::NumberKind;
use crate::decode::xlsx::fixture::part;

fn styles(content: &str) -> Result<Styles, DecodeError> {
    Styles::read(part(
        format!("<styleSheet>{content}</styleSheet>").as_bytes(),
    ))
}

#[test]
fn kinds_follow_the_formats() {
    let styles = styles(
        r#"<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy&quot;x&quot;"/><numFmt formatCode='[h]:mm' numFmtId='14'></numFmt></numFmts>
        <fonts><font/></fonts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
        <cellXfs count="9"><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"><alignment/></xf><xf numFmtId="22"/><xf numFmtId="46"/><xf/><xf numFmtId="999"/><xf numFmtId="164"/></cellXfs>
        <dxfs><dxf><numFmt numFmtId="0" formatCode="yyyy"/></dxf></dxfs>"#,
    )
    .unwrap();
    let kinds: Vec<_> = (0..9).map(|style| styles.kind(style).clone()).collect();
    let (plain, date, span) = (
        NumberKind::Plain,
        NumberKind::DateTime,
        NumberKind::Duration,
    );
    let wanted = [
        &plain, &date, &span, &date, &span, &plain, &plain, &date, &plain,
    ];
    assert_eq!(kinds.iter().collect::<Vec<_>>(), wanted);
    assert_eq!(styles.kind(u32::MAX), &plain);
}

#[test]
fn formats_may_stand_behind_the_cells_that_name_them() {
    let styles = styles(
        r#"<cellXfs><xf numFmtId="200"/></cellXfs><numFmts><numFmt numFmtId="200" formatCode="dd.mm."/></numFmts>"#,
    );
    assert_eq!(styles.unwrap().kind(0), &NumberKind::DateTime);
}

#[test]
fn broken_styles_are_refused() {
    for content in [
        "<cellXfs><xf numFmtId=\"x\"/></cellXfs>",
        "<cellXfs><xf numFmtId=\"-1\"/></cellXfs>",
        "<numFmts><numFmt numFmtId=\"164\"/></numFmts>",
        "<numFmts><numFmt formatCode=\"0\"/></numFmts>",
        "<cellXfs>",
    ] {
        let error = styles(content).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{content}: {error}"
        );
    }
    assert!(Styles::read(part(b"<worksheet/>")).is_err());
    let many = format!("<cellXfs>{}</cellXfs>", "<xf/>".repeat(STYLES_MAX + 1));
    let error = styles(&many).unwrap_err().to_string();
    assert!(
        error.contains("styles_max") || error.contains("inflate_ratio_max"),
        "{error}"
    );
}
