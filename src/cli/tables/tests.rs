use super::{print_list, print_table};
use crate::cli::terminal::Terminal;
use crate::cli::tests::Captured;
use crate::proto::{Table, TableColumn, UniqueKey};

fn table() -> Table {
    let column = |name: &str, kind: &str| TableColumn {
        name: name.to_owned(),
        r#type: kind.to_owned(),
        ..TableColumn::default()
    };
    Table {
        name: String::from("public.businesses"),
        columns: vec![
            TableColumn {
                generated: true,
                has_default: true,
                ..column("id", "bigint")
            },
            TableColumn {
                importable: true,
                ..column("name", "text")
            },
            TableColumn {
                importable: true,
                assignable: true,
                nullable: true,
                enum_values: vec![String::from("a"), String::from("b")],
                aliases: vec![String::from("Kind")],
                ..column("kind", "kinds")
            },
        ],
        unique_keys: vec![UniqueKey {
            name: String::from("businesses_pkey"),
            columns: vec![String::from("id")],
            primary: true,
            ..UniqueKey::default()
        }],
    }
}

#[test]
fn a_table_is_shown_with_all_that_decides_what_it_takes() {
    let output = Captured::default();
    let mut terminal = Terminal::to(output.clone(), Captured::default());
    print_table(&table(), &mut terminal).unwrap();
    assert_eq!(
        output.text(),
        "\
public.businesses

column  type          null  default  filled by       also called
id      bigint        no    yes      the database
name    text          no    no       file
kind    kinds (a, b)  yes   no       file, constant  Kind

key              columns  kind
businesses_pkey  id       primary
"
    );
}

#[test]
fn a_list_shows_what_can_be_imported() {
    let output = Captured::default();
    let mut terminal = Terminal::to(output.clone(), Captured::default());
    print_list(&[table()], &mut terminal).unwrap();
    print_list(&[], &mut terminal).unwrap();
    assert_eq!(
        output.text(),
        "\
table              importable columns
public.businesses  name, kind
no tables: none of those on the allow-list exists
"
    );
}
