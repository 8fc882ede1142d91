//! Files of varied layout: which row is the header, and what each column is proposed for.

use rowlift::proto::{FileFormat, FileSource, InspectFileResponse, InspectHeader};

use super::inspect;
use crate::support::service::Service;

/// A file, and what is to be found in it.
struct Layout {
    what: &'static str,
    file: File,
    /// The row of the header.
    header: i32,
    /// `header>column` for each header, `=` for those that an import maps by itself.
    mapping: &'static [&'static str],
}

enum File {
    Csv(&'static str),
    /// Sheets with their rows, cells apart by `|`; a `-` before the name hides the sheet.
    Xlsx(&'static [(&'static str, &'static [&'static str])]),
}

const LAYOUTS: &[Layout] = &[
    Layout {
        what: "a plain table",
        file: File::Xlsx(&[("Data", &["name|city|phone", "Ann|Oslo|123", "Bo|Bonn|456"])]),
        header: 1,
        mapping: &["name=name", "city=city", "phone=phone"],
    },
    Layout {
        what: "title rows above the header",
        file: File::Xlsx(&[(
            "Report",
            &[
                "Customer list",
                "As of|2024-03-01",
                "",
                "Name|E-Mail|City|Country",
                "Ann|ann@example.org|Oslo|Norway",
                "Bo|bo@example.org|Bonn|Germany",
            ],
        )]),
        header: 4,
        mapping: &["Name=name", "E-Mail=email", "City=city", "Country=country"],
    },
    Layout {
        what: "two header rows, the upper one of groups",
        file: File::Xlsx(&[(
            "Sheet1",
            &[
                "|Contact||Location|",
                "Name|Phone|Email|City|Country",
                "Ann|+47 22 334455|ann@example.org|Oslo|Norway",
                "Bo|+49 228 123456|bo@example.org|Bonn|Germany",
            ],
        )]),
        header: 2,
        mapping: &[
            "Name=name",
            "Phone=phone",
            "Email=email",
            "City=city",
            "Country=country",
        ],
    },
    Layout {
        what: "two header rows, the upper one of names that the table has",
        file: File::Csv(
            "name,city,website\nCompany,Seat,Internet page\nAnn Ltd,Oslo,www.ann.example\n\
             Bo Ltd,Bonn,www.bo.example\n",
        ),
        header: 1,
        mapping: &["name=name", "city=city", "website=website"],
    },
    Layout {
        what: "blank columns before and between",
        file: File::Xlsx(&[(
            "Data",
            &[
                "",
                "||Name||City|Category",
                "||Ann||Oslo|Shop",
                "||Bo||Bonn|Bakery",
            ],
        )]),
        header: 2,
        mapping: &["Name=name", "City=city", "Category=category"],
    },
    Layout {
        what: "a hidden first sheet",
        file: File::Xlsx(&[
            ("-Lookup", &["code|label", "1|one"]),
            ("Data", &["Business name|City", "Ann|Oslo"]),
        ]),
        header: 1,
        mapping: &["Business name>name", "City=city"],
    },
    Layout {
        what: "an empty first sheet and notes behind",
        file: File::Xlsx(&[
            ("Empty", &[]),
            ("Data", &["name|description", "Ann|first"]),
            ("Notes", &["note", "read me"]),
        ]),
        header: 1,
        mapping: &["name=name", "description=description"],
    },
    Layout {
        what: "German, with semicolons",
        file: File::Csv(
            "Firma;Branche;Telefon;E-Mail;Straße;Ort;Land;Webseite;Beschreibung\n\
             Müller GmbH;Handel;+49 30 1234567;info@mueller.example;Hauptstr. 1;Berlin;\
             Deutschland;www.mueller.example;Familienbetrieb\n",
        ),
        header: 1,
        mapping: &[
            "Firma>name",
            "Branche>category",
            "Telefon>phone",
            "E-Mail=email",
            "Straße>address",
            "Ort>city",
            "Land>country",
            "Webseite>website",
            "Beschreibung>description",
        ],
    },
    Layout {
        what: "French, below a title",
        file: File::Xlsx(&[(
            "Feuille1",
            &[
                "Liste des clients",
                "",
                "Raison sociale|Téléphone|Courriel|Adresse|Ville|Pays|Site web",
                "Dupont SA|01 23 45 67 89|contact@dupont.example|1, rue A|Lyon|France|www.dupont.example",
                "Durand SARL|01 98 76 54 32|info@durand.example|2, rue B|Lille|France|www.durand.example",
            ],
        )]),
        header: 3,
        mapping: &[
            "Raison sociale>name",
            "Téléphone>phone",
            "Courriel>email",
            "Adresse>address",
            "Ville>city",
            "Pays>country",
            "Site web>website",
        ],
    },
    Layout {
        what: "Spanish",
        file: File::Csv(
            "Empresa,Teléfono,Correo electrónico,Dirección,Ciudad,País\n\
             Sol SL,+34 91 123 45 67,sol@sol.example,Calle 1,Madrid,España\n",
        ),
        header: 1,
        mapping: &[
            "Empresa>name",
            "Teléfono>phone",
            "Correo electrónico>email",
            "Dirección>address",
            "Ciudad>city",
            "País>country",
        ],
    },
    Layout {
        what: "Italian, with a column of no meaning here",
        file: File::Csv(
            "Ragione sociale,Partita IVA,Indirizzo,Città,Paese,Sito\n\
             Sole Srl,01234567890,Via 1,Roma,Italia,www.sole.example\n",
        ),
        header: 1,
        mapping: &[
            "Ragione sociale>name",
            "Partita IVA>",
            "Indirizzo>address",
            "Città>city",
            "Paese>country",
            "Sito>website",
        ],
    },
    Layout {
        what: "Chinese",
        file: File::Xlsx(&[(
            "客户",
            &[
                "公司名称|行业|联系电话|邮箱|地址|城市|国家|网站",
                "阳光公司|零售|13800138000|a@sun.example|长安街1号|北京|中国|www.sun.example",
                "月亮公司|制造|13900139000|b@moon.example|南京路2号|上海|中国|www.moon.example",
            ],
        )]),
        header: 1,
        mapping: &[
            "公司名称>name",
            "行业>category",
            "联系电话>phone",
            "邮箱>email",
            "地址>address",
            "城市>city",
            "国家>country",
            "网站>website",
        ],
    },
    Layout {
        what: "Japanese, below two title rows",
        file: File::Xlsx(&[(
            "一覧",
            &[
                "顧客一覧",
                "2024年3月",
                "会社名|業種|電話番号|メールアドレス|住所|ホームページ",
                "太陽株式会社|小売|03-1234-5678|a@sun.example|東京都千代田区1|https://sun.example",
                "月株式会社|製造|06-1234-5678|b@moon.example|大阪市北区2|https://moon.example",
            ],
        )]),
        header: 3,
        mapping: &[
            "会社名>name",
            "業種>category",
            "電話番号>phone",
            "メールアドレス>email",
            "住所>address",
            "ホームページ>website",
        ],
    },
    Layout {
        what: "Russian",
        file: File::Csv(
            "Название\tТелефон\tГород\tСтрана\tСайт\n\
             Солнце\t+7 495 123-45-67\tМосква\tРоссия\twww.sun.example\n",
        ),
        header: 1,
        mapping: &[
            "Название>name",
            "Телефон>phone",
            "Город>city",
            "Страна>country",
            "Сайт>website",
        ],
    },
    Layout {
        what: "no header, by its numbers and addresses",
        file: File::Csv("Ann,Shop,22334455,ann@example.org\nBo,Bakery,33445566,bo@example.org\n"),
        header: 0,
        mapping: &["=name", "=category", "=phone", "=email"],
    },
    Layout {
        what: "blank lines before the header of a CSV",
        file: File::Csv("\n\n\nname,city\nAnn,Oslo\n"),
        header: 4,
        mapping: &["name=name", "city=city"],
    },
    Layout {
        what: "a header alone",
        file: File::Csv("Name;Telephone;Town\n"),
        header: 1,
        mapping: &["Name=name", "Telephone>phone", "Town>city"],
    },
    Layout {
        what: "misspelt, and one column twice",
        file: File::Csv("name,E-mial,contry,phone,Phone\nAnn,a@x.example,Norway,1,2\n"),
        header: 1,
        mapping: &[
            "name=name",
            "E-mial>email",
            "contry>country",
            "phone=phone",
            "Phone>",
        ],
    },
    Layout {
        what: "a table of figures, headed by years",
        file: File::Xlsx(&[(
            "Turnover",
            &[
                "Company|2021|2022|2023",
                "Ann Ltd|10.5|11|12.25",
                "Bo Ltd|7|8|9",
            ],
        )]),
        header: 1,
        mapping: &["Company>name", "2021>", "2022>", "2023>"],
    },
    Layout {
        what: "headers that say nothing above values that do",
        file: File::Csv(
            "Name,A,B\nAnn,ann@example.org,https://ann.example\nBo,bo@example.org,\
             https://bo.example\n",
        ),
        header: 1,
        mapping: &["Name=name", "A>email", "B>website"],
    },
    Layout {
        what: "a unit below each header, an index before",
        file: File::Xlsx(&[(
            "Data",
            &[
                "No.|Name|Description|City",
                "|(text)|(text)|(text)",
                "1|Ann|A shop|Oslo",
                "2|Bo|A bakery|Bonn",
            ],
        )]),
        header: 1,
        mapping: &["No.>", "Name=name", "Description=description", "City=city"],
    },
];

fn workbook(sheets: &[(&str, &[&str])]) -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    for (name, rows) in sheets {
        let sheet = workbook.add_worksheet();
        sheet.set_name(name.trim_start_matches('-')).unwrap();
        sheet.set_hidden(name.starts_with('-'));
        for (row, cells) in (0..).zip(*rows) {
            for (column, text) in (0..).zip(cells.split('|')) {
                let written = match text.parse::<f64>() {
                    _ if text.is_empty() => continue,
                    Ok(number) => sheet.write(row, column, number).map(drop),
                    Err(_) => sheet.write(row, column, text).map(drop),
                };
                written.unwrap();
            }
        }
    }
    // The first sheet is the active one, which cannot be hidden.
    let visible = sheets.iter().position(|(name, _)| !name.starts_with('-'));
    let visible = workbook.worksheet_from_index(visible.unwrap()).unwrap();
    visible.set_active(true);
    workbook.save_to_buffer().unwrap()
}

fn mapping(found: &InspectFileResponse) -> Vec<String> {
    let mappings = found.mappings.iter().map(|mapping| {
        let mark = if mapping.score >= 1.0 { '=' } else { '>' };
        format!("{}{mark}{}", mapping.source_name, mapping.target_column)
    });
    mappings.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_columns_are_found_in_files_of_varied_layout() {
    assert!(LAYOUTS.len() >= 20);
    let service = Service::sqlite("").await;
    for layout in LAYOUTS {
        let (data, format) = match layout.file {
            File::Csv(text) => (text.as_bytes().to_vec(), FileFormat::Csv),
            File::Xlsx(sheets) => (workbook(sheets), FileFormat::Xlsx),
        };
        let header = InspectHeader {
            table: "businesses".to_owned(),
            file: Some(FileSource::default()),
            ..Default::default()
        };
        let found = inspect(&service, header, &data).await.unwrap();
        assert_eq!(found.format(), format, "{}", layout.what);
        // The sheet that an import would read: the one whose headers are mapped.
        let names: Vec<&str> = found
            .mappings
            .iter()
            .map(|it| it.source_name.as_str())
            .collect();
        let read = found.sheets.iter().find(|sheet| {
            let header = sheet.header.iter().map(String::as_str);
            let header: Vec<&str> = header.filter(|name| !name.is_empty()).collect();
            !sheet.hidden && (header == names || header.is_empty() && !sheet.sample_rows.is_empty())
        });
        let read = read.unwrap_or_else(|| panic!("{}: {found:?}", layout.what));
        assert_eq!(read.header_row_number, layout.header, "{}", layout.what);
        assert_eq!(mapping(&found), layout.mapping, "{}", layout.what);
    }
    service.stop().await;
}
