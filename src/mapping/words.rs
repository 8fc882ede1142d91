//! What common headers mean, in some languages: enough for a suggestion, never for a mapping.
//!
//! In: a name as a person wrote it. Out: the concept that it stands for, as a whole or by one of
//! its words. Bounded: a fixed list, looked up by hash; scripts without spaces are searched for
//! the list's own words, in names up to [`SEARCHED_CHARS_MAX`] characters.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::mapping::header::key;

/// Longer names are looked up as a whole only.
const SEARCHED_CHARS_MAX: usize = 64;

/// Concepts, and what they are called: English first, then German, French, Spanish, Italian,
/// Portuguese, Dutch, Nordic and Slavic languages, Turkish, Chinese, Japanese, Korean.
const CONCEPTS: &[(&str, &str)] = &[
    (
        "name",
        "name full_name title label bezeichnung nom libelle nombre nome naam navn namn nimi nazwa nazev imie jmeno имя название наименование ime ad isim 名称 名稱 名前 氏名 姓名 名字 이름 성명 명칭",
    ),
    (
        "company",
        "company company_name business business_name organisation organization firm firma firmenname unternehmen betrieb entreprise societe raison_sociale etablissement empresa razon_social compania negocio azienda ragione_sociale ditta bedrijf bedrijfsnaam foretag foretagsnamn virksomhed yritys spolecnost przedsiebiorstwo компания организация фирма sirket isletme 公司 公司名称 公司名稱 企业 企業 企業名 单位 会社 会社名 店名 商号 회사 회사명 업체 업체명 상호",
    ),
    (
        "first_name",
        "first_name given_name vorname prenom nombre_de_pila primer_nombre primeiro_nome voornaam fornavn fornamn etunimi imie 名 이름",
    ),
    (
        "last_name",
        "last_name surname family_name nachname familienname zuname nom_de_famille apellido apellidos cognome sobrenome apelido achternaam etternavn efternamn sukunimi nazwisko prijmeni фамилия soyad soyadi 姓 성",
    ),
    (
        "email",
        "email e_mail mail email_address mail_address emailadresse mailadresse courriel adresse_electronique adresse_email adresse_mel mel correo correo_electronico direccion_de_correo posta_elettronica endereco_de_email epost e_post sahkoposti poczta почта электронная_почта eposta e_posta 邮箱 郵箱 电子邮件 電子郵件 电邮 邮件 メール メールアドレス 電子メール 이메일 전자우편",
    ),
    (
        "phone",
        "phone phone_number telephone telephone_number tel tel_no telefon telefonnummer telefonnr rufnummer fernsprecher numero_de_telephone telefono numero_de_telefono telefone telefoon telefoonnummer puhelin puhelinnumero телефон номер_телефона 电话 電話 电话号码 電話番号 联系电话 전화 전화번호 연락처",
    ),
    (
        "mobile",
        "mobile mobile_number mobile_phone cell cell_phone cellphone handy handynummer mobil mobiltelefon mobilnummer portable telephone_portable gsm movil celular cellulare telemovel мобильный cep_telefonu 手机 手機 手机号 手机号码 携帯 携帯電話 휴대폰 휴대전화",
    ),
    (
        "fax",
        "fax fax_number faxnummer telefax telecopie 传真 傳真 ファックス 팩스",
    ),
    (
        "address",
        "address street_address postal_address anschrift adresse postadresse adresse_postale domicilio direccion indirizzo endereco morada adres adress osoite адрес adresa 地址 住址 住所 所在地 주소",
    ),
    (
        "street",
        "street street_name strasse straße strassenname rue voie calle via rua straat gate gata katu ulica ulice улица sokak cadde 街道 街 番地 거리 도로명",
    ),
    (
        "city",
        "city town municipality locality place ort stadt wohnort gemeinde ville commune localite ciudad poblacion localidad municipio citta comune cidade municipio stad plaats woonplaats by stad kaupunki miasto miejscowosc mesto город sehir il 城市 市 都市 市区町村 市町村 도시 시",
    ),
    (
        "postal_code",
        "postal_code postcode zip zip_code zipcode plz postleitzahl code_postal codigo_postal cap cep codice_postale codigo_postal postnummer postinumero kod_pocztowy psc индекс почтовый_индекс posta_kodu 邮编 郵編 邮政编码 郵便番号 우편번호",
    ),
    (
        "state",
        "state region province county bundesland kanton provinz departement provincia comunidad comunidad_autonoma regione estado provincie wojewodztwo область регион 省 省份 州 都道府県 県 시도 지역",
    ),
    (
        "country",
        "country country_name nation land staat pays pais paese nazione maa kraj zeme страна ulke 国 国家 國家 国名 국가 나라",
    ),
    (
        "website",
        "website web_site web web_page webpage url homepage home_page internet internetseite webseite webadresse internetadresse site site_web site_internet sitio sitio_web pagina_web sito sito_web pagina nettside webbplats hemsida hjemmeside kotisivu strona strona_www www сайт веб_сайт web_sitesi 网站 網站 网址 網址 主页 ウェブサイト ホームページ サイト 웹사이트 홈페이지",
    ),
    (
        "description",
        "description desc details summary about beschreibung descriptif descripcion descrizione descricao omschrijving beskrivelse beskrivning kuvaus opis popis описание aciklama 描述 说明 說明 简介 説明 概要 설명 소개",
    ),
    (
        "notes",
        "note notes remark remarks comment comments bemerkung bemerkungen anmerkung anmerkungen notiz notizen kommentar remarque remarques commentaire commentaires nota notas observaciones comentarios osservazioni commenti observacoes opmerking opmerkingen merknad uwagi poznamka примечание комментарий notlar 备注 備註 注释 備考 メモ 비고 메모",
    ),
    (
        "category",
        "category categories type kind class industry sector branch branche kategorie art typ gewerbe categorie secteur secteur_d_activite activite rubrique categoria tipo sector rubro settore setor ramo soort kategori luokka toimiala kategoria rodzaj branza категория вид отрасль kategori sektor 类别 類別 分类 分類 类型 行业 行業 カテゴリ カテゴリー 種別 業種 카테고리 분류 업종 종류",
    ),
    (
        "date",
        "date day datum tag jour fecha dia data giorno dato paiva дата tarih 日期 日付 날짜 일자",
    ),
    (
        "created_at",
        "created created_at creation_date created_on erstellt erstellt_am angelegt_am date_de_creation cree_le fecha_de_creacion creado data_di_creazione criado_em aangemaakt oprettet skapad utworzono создано 创建时间 创建日期 作成日 登録日 생성일 등록일",
    ),
    (
        "updated_at",
        "updated updated_at modified last_modified geandert geandert_am aktualisiert date_de_modification modifie_le actualizado fecha_de_modificacion modificato atualizado_em gewijzigd zmieniono обновлено 更新时间 更新日 수정일",
    ),
    (
        "birth_date",
        "birth_date birthday date_of_birth dob born geburtsdatum geburtstag geboren date_de_naissance ne_le fecha_de_nacimiento nacimiento data_di_nascita data_de_nascimento geboortedatum fodselsdato fodelsedatum data_urodzenia дата_рождения dogum_tarihi 出生日期 生日 生年月日 誕生日 생년월일 생일",
    ),
    (
        "age",
        "age years_old alter edad eta idade leeftijd alder ika wiek возраст yas 年龄 年齡 年齢 나이 연령",
    ),
    (
        "price",
        "price unit_price cost preis einzelpreis kosten prix prix_unitaire cout precio costo prezzo preco prijs pris hinta cena цена fiyat 价格 價格 单价 価格 単価 가격 단가",
    ),
    (
        "amount",
        "amount total sum betrag summe gesamt gesamtbetrag montant somme importe monto cantidad_total importo totale valor montante bedrag totaal belop belopp summa kwota suma сумма итого tutar toplam 金额 金額 总额 合計 금액 합계",
    ),
    (
        "quantity",
        "quantity qty count number_of_units menge anzahl stuckzahl quantite nombre_d_unites cantidad unidades quantita quantidade aantal hoeveelheid antall antal maara ilosc mnozstvi количество adet miktar 数量 數量 個数 수량",
    ),
    (
        "currency",
        "currency wahrung devise monnaie moneda divisa valuta moeda waluta mena валюта para_birimi 币种 貨幣 通貨 통화",
    ),
    (
        "id",
        "id identifier no number nr nummer kennung numero num codigo_id matricule codice номер 编号 編號 番号 번호 아이디",
    ),
    (
        "code",
        "code sku article_number artikelnummer artikelnr code_article codigo codice_articolo artikelcode kod kodi код kodu 代码 代碼 コード 코드",
    ),
    (
        "status",
        "status zustand statut etat stato situacao stan tila статус durum 状态 狀態 状態 ステータス 상태",
    ),
    (
        "gender",
        "gender sex geschlecht sexe genre sexo genero sesso geslacht kjonn kon plec пол cinsiyet 性别 性別 성별",
    ),
    (
        "job_title",
        "job_title position role job beruf funktion stellung fonction poste metier cargo puesto ruolo funzione funcao functie stilling yrke stanowisko должность unvan 职位 職位 职务 役職 직책 직위",
    ),
    (
        "department",
        "department division abteilung service departement departamento area reparto afdeling avdelning osasto dzial отдел departman 部门 部門 部署 부서",
    ),
    (
        "tax_id",
        "tax_id vat vat_number vat_id steuernummer ust_id ustid numero_de_tva tva siret siren nif cif partita_iva nip инн vergi_no 税号 稅號 法人番号 사업자등록번호",
    ),
    (
        "latitude",
        "latitude lat breitengrad latitud latitudine 纬度 緯度 위도",
    ),
    (
        "longitude",
        "longitude lon lng long langengrad longitud longitudine 经度 経度 경도",
    ),
    (
        "rating",
        "rating score stars bewertung note_moyenne evaluation valoracion calificacion valutazione avaliacao beoordeling ocena рейтинг puan 评分 評分 評価 평점",
    ),
];

/// Concepts that stand in for each other where nothing better is there.
const KIN: &[(&str, &str)] = &[
    ("company", "name"),
    ("last_name", "name"),
    ("street", "address"),
    ("mobile", "phone"),
    ("notes", "description"),
    ("date", "created_at"),
    ("code", "id"),
    ("amount", "price"),
];

/// All words by their [`fold`]ed form.
static WORDS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for (concept, names) in CONCEPTS {
        words.insert(fold(concept), *concept);
        for name in names.split(' ') {
            // Of two concepts the first that lists a word has it.
            words.entry(fold(name)).or_insert(*concept);
        }
    }
    words
});

/// The words of scripts that put no spaces between words, longest first.
static UNSPACED: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let mut words: Vec<(&str, &str)> = CONCEPTS
        .iter()
        .flat_map(|(concept, names)| names.split(' ').map(move |name| (name, *concept)))
        .filter(|(name, _)| name.chars().count() > 1 && name.chars().all(is_unspaced))
        .collect();
    words.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    words
});

/// What spellings of a word have in common: its [`key`] without accents.
pub(super) fn fold(name: &str) -> String {
    key(name)
        .nfd()
        .filter(|it| !is_combining_mark(*it))
        .collect()
}

/// The words of a name, folded: apart by anything but letters and digits, and before capitals.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_small = false;
    for letter in name.chars() {
        let begins = !letter.is_alphanumeric() || letter.is_uppercase() && was_small;
        if begins && !word.is_empty() {
            words.push(fold(&std::mem::take(&mut word)));
        }
        if letter.is_alphanumeric() {
            word.push(letter);
        }
        was_small = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(fold(&word));
    }
    words
}

/// What the whole name stands for.
pub(super) fn concept(name: &str) -> Option<&'static str> {
    WORDS.get(&fold(name)).copied()
}

/// What a word within the name stands for; the last one that stands for something, which is the
/// one that the others describe, in English at least.
pub(super) fn concept_within(name: &str) -> Option<&'static str> {
    if name.chars().count() > SEARCHED_CHARS_MAX {
        return None;
    }
    let words = words(name);
    let mut spaced = words.iter().rev().filter(|word| word.len() > 2);
    let spaced = spaced.find_map(|word| WORDS.get(word).copied());
    spaced.or_else(|| {
        let mut unspaced = UNSPACED.iter();
        unspaced
            .find(|(word, _)| name.contains(word))
            .map(|(_, concept)| *concept)
    })
}

/// Whether one concept may stand in for the other.
pub(super) fn are_kin(one: &str, other: &str) -> bool {
    KIN.iter()
        .any(|pair| *pair == (one, other) || *pair == (other, one))
}

/// Han, kana and hangul.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[cfg(test)]
mod tests;
