use super::{GUESSED_MAX, Proposal, propose};
use crate::mapping::SourceColumns;
use crate::mapping::tests::table_of;
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder};
use crate::model::table::{ColumnType, Table};

const COLUMNS: [&str; 9] = [
    "name",
    "category",
    "phone",
    "email",
    "address",
    "city",
    "country",
    "website",
    "description",
];

fn businesses() -> Table {
    let columns = COLUMNS.map(|name| (name, ColumnType::Text));
    table_of(&columns)
}

fn proposals(table: &Table, names: &[&str], rows: &[Frame]) -> Vec<Proposal> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let source = SourceColumns {
        names: &names,
        has_header: true,
        where_: "",
    };
    propose(table, source, rows)
}

/// What each header is proposed for, with a score of 1 marked by `=`.
fn shown(table: &Table, names: &[&str], rows: &[Frame]) -> Vec<String> {
    let proposals = proposals(table, names, rows);
    let shown = proposals.iter().map(|proposal| {
        let target = proposal.table_column;
        let target = target.map_or("", |column| table.columns[column].name.as_str());
        let mark = if proposal.score >= 1.0 { "=" } else { "" };
        assert_eq!(target.is_empty(), proposal.score == 0.0, "{proposal:?}");
        format!("{mark}{target}")
    });
    shown.collect()
}

fn rows(rows: &[[&str; 2]]) -> Vec<Frame> {
    let mut builder = FrameBuilder::new();
    for (ordinal, row) in (0..).zip(rows) {
        builder.begin_row(ordinal, ordinal + 1, "");
        for text in row {
            builder.push(Cell::Text(text));
        }
        builder.end_row();
    }
    vec![builder.take()]
}

#[test]
fn what_an_import_maps_has_a_score_of_1() {
    let mut table = businesses();
    table.columns[3].aliases = vec!["Mail address".to_owned()];
    table.columns[8].importable = false;
    let names = [
        "NAME",
        "Mail-Address",
        " city ",
        "Description",
        "phone",
        "Phone",
    ];
    assert_eq!(
        shown(&table, &names, &[]),
        ["=name", "=email", "=city", "", "=phone", ""]
    );
}

#[test]
fn near_names_and_shared_words_are_guesses() {
    let names = [
        "E-mial",
        "Countrie",
        "Business phone",
        "Web site",
        "Company adress",
    ];
    assert_eq!(
        shown(&businesses(), &names, &[]),
        ["email", "country", "phone", "=website", "address"]
    );
}

#[test]
fn words_of_other_languages_are_guesses() {
    let languages: [[&str; 8]; 6] = [
        [
            "Firma",
            "Branche",
            "Telefon",
            "E-Mail-Adresse",
            "Anschrift",
            "Ort",
            "Land",
            "Webseite",
        ],
        [
            "Raison sociale",
            "Secteur",
            "Téléphone",
            "Courriel",
            "Adresse",
            "Ville",
            "Pays",
            "Site web",
        ],
        [
            "Empresa",
            "Sector",
            "Teléfono",
            "Correo electrónico",
            "Dirección",
            "Ciudad",
            "País",
            "Sitio web",
        ],
        [
            "公司名称",
            "行业",
            "联系电话",
            "邮箱",
            "地址",
            "城市",
            "国家",
            "网站",
        ],
        [
            "会社名",
            "業種",
            "電話番号",
            "メールアドレス",
            "住所",
            "市区町村",
            "国",
            "ホームページ",
        ],
        [
            "회사명",
            "업종",
            "전화번호",
            "이메일",
            "주소",
            "도시",
            "국가",
            "홈페이지",
        ],
    ];
    for names in languages {
        assert_eq!(shown(&businesses(), &names, &[]), COLUMNS[..8], "{names:?}");
    }
}

#[test]
fn each_column_goes_to_the_header_that_fits_best() {
    let names = ["Mobile", "Telephone", "Name", "Firma"];
    assert_eq!(
        shown(&businesses(), &names, &[]),
        ["", "phone", "=name", ""]
    );
    assert_eq!(
        shown(&businesses(), &["Firma", "Handy"], &[]),
        ["name", "phone"]
    );
}

#[test]
fn names_that_mean_something_else_are_left_alone() {
    let names = ["Stock", "Lane", "Price", "Date", "Latitude", "x", ""];
    assert_eq!(shown(&businesses(), &names, &[]), ["", "", "", "", "", ""]);
}

#[test]
fn values_that_look_like_it_are_a_guess() {
    let rows = rows(&[
        ["ann@example.org", "https://a.example.org"],
        ["bo@example.org", "www.example.org"],
    ]);
    assert_eq!(
        shown(&businesses(), &["Contact", "More"], &rows),
        ["email", "website"]
    );
    let found = proposals(&businesses(), &["Contact", "More"], &rows);
    assert!(found.iter().all(|proposal| proposal.score < 1.0));
    let positions: Vec<u32> = found.iter().map(|proposal| proposal.source_index).collect();
    assert_eq!(positions, [1, 2]);
}

#[test]
fn without_a_header_columns_are_mapped_by_position() {
    let table = table_of(&[("a", ColumnType::Text)]);
    let rows = rows(&[["1", "2"]]);
    let source = SourceColumns {
        names: &[],
        has_header: false,
        where_: "",
    };
    let found = propose(&table, source, &rows);
    let targets: Vec<_> = found
        .iter()
        .map(|proposal| (proposal.source_index, proposal.table_column, proposal.score))
        .collect();
    assert_eq!(targets, [(1, Some(0), 1.0), (2, None, 0.0)]);
}

#[test]
fn no_more_headers_are_compared_than_the_bound() {
    let names: Vec<String> = (0..GUESSED_MAX + 2)
        .map(|n| format!("header {n}"))
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names[GUESSED_MAX - 1] = "Telefon";
    names[GUESSED_MAX] = "Ville";
    names[GUESSED_MAX + 1] = "email";
    let shown = shown(&businesses(), &names, &[]);
    assert_eq!(shown[GUESSED_MAX - 1..], ["phone", "", "=email"]);
}
