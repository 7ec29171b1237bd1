//! Tests of `extract::price`.

use proptest::prelude::*;

use super::*;

/// What [`parse`] makes of a text, as `amount CODE`, `amount -` without currency, or `none`.
fn read(text: &str, hints: &Hints<'_>) -> String {
    parse(text, hints).map_or_else(
        || "none".to_owned(),
        |price| {
            let code = price.currency.map_or("-", Currency::code);
            format!("{} {code}", price.amount)
        },
    )
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    check_with(&Hints::default(), cases);
}

#[track_caller]
fn check_with(hints: &Hints<'_>, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(text, wanted)| (text, *wanted, read(text, hints)))
        .filter(|(_, wanted, got)| wanted != got)
        .map(|(text, wanted, got)| format!("{text:?}: wanted {wanted}, got {got}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn in_language(language: &str) -> Hints<'_> {
    Hints {
        language: Some(language),
        ..Hints::default()
    }
}

fn on_domain(domain: &str) -> Hints<'_> {
    Hints {
        domain: Some(domain),
        ..Hints::default()
    }
}

/// Defect 1 of the predecessor's list: the first run of digits was taken.
#[test]
fn separators_are_read_by_place_and_grouping() {
    check(&[
        ("1 299,00", "1299.00 -"),
        ("1.299,00", "1299.00 -"),
        ("1,299.00", "1299.00 -"),
        ("1'299.50", "1299.50 -"),
        ("1’299.50", "1299.50 -"),
        ("1,23,456.00", "123456.00 -"),
        ("12,34,567", "1234567 -"),
        ("1.234.567,89", "1234567.89 -"),
        ("1,234,567.89", "1234567.89 -"),
        ("1.299.00", "1299.00 -"),
        ("1.234", "1234 -"),
        ("1,234", "1234 -"),
        ("0.999", "0.999 -"),
        ("19.9", "19.9 -"),
        ("19,9", "19.9 -"),
        ("1299,5", "1299.5 -"),
        ("12345.678", "12345.678 -"),
        ("19 990,-", "19990 -"),
        ("299:-", "299 -"),
        ("12.–", "12 -"),
        ("1 299", "1299 -"),
        ("1\u{a0}299,00", "1299.00 -"),
        ("1\u{202f}299,00", "1299.00 -"),
        ("1\u{2009}299", "1299 -"),
        ("79 .99", "79.99 -"),
        ("1,646 .00", "1646.00 -"),
        ("15 . 49", "15.49 -"),
        ("15. 49", "15.49 -"),
        ("$ 15. 49", "15.49 USD"),
        ("1.215, 49 €", "1215.49 EUR"),
        ("215, 49 zł", "215.49 PLN"),
        ("$20. 30 days to return", "20 USD"),
        ("24. 12. 2024", "none"),
        ("sizes 36, 38, 40 €", "40 EUR"),
        (".49", "0.49 -"),
        ("$.49", "0.49 USD"),
        ("$..49", "0.49 USD"),
        (",49 €", "0.49 EUR"),
        ("-,49 €", "0.49 EUR"),
        ("CHF –.90", "0.90 CHF"),
        ("-.49 €", "none"),
        (".5 €", "0.5 EUR"),
        (".375 €", "0.375 EUR"),
        ("No.49", "none"),
        ("12.49000000000000021", "12.49 -"),
        ("12.48999999999999844", "12.49 -"),
        ("52.520006599999", "none"),
        ("2089.9 *", "2089.9 -"),
        ("0", "0 -"),
        ("0,00", "0.00 -"),
        ("1.2345,67", "none"),
        ("0123", "none"),
    ]);
}

#[test]
fn a_negative_amount_is_no_price() {
    check(&[
        ("-10.00", "none"),
        ("−10.00", "none"),
        ("-$10.00", "none"),
        ("$-10.00", "none"),
        ("kr -10", "none"),
        ("- 10.00", "10.00 -"),
        ("Ground / 1 lb - $19.99", "19.99 USD"),
        ("+$10.00", "none"),
        ("(+$5.00)", "none"),
    ]);
}

#[test]
fn currencies_are_known_by_sign_code_and_word() {
    check(&[
        ("$19.99", "19.99 USD"),
        ("US $18.00", "18.00 USD"),
        ("US$18.00", "18.00 USD"),
        ("USD 18.00", "18.00 USD"),
        ("18.00 USD", "18.00 USD"),
        ("$18.00 CAD", "18.00 CAD"),
        ("USD $18", "18 USD"),
        ("C$18.00", "18.00 CAD"),
        ("CA$18.00", "18.00 CAD"),
        ("A$18", "18 AUD"),
        ("AU $18", "18 AUD"),
        ("NZ$18", "18 NZD"),
        ("HK$180", "180 HKD"),
        ("NT$180", "180 TWD"),
        ("S$18", "18 SGD"),
        ("R$ 1.234,56", "1234.56 BRL"),
        ("MX$500", "500 MXN"),
        ("20 $US", "20 USD"),
        ("20 R$", "20 BRL"),
        ("20 NT$", "20 TWD"),
        ("20 GH₵", "20 GHS"),
        ("20 S/", "20 PEN"),
        ("20 kn", "20 HRK"),
        ("20 GEL", "20 GEL"),
        ("र24,401", "24401 INR"),
        ("94,000 تومان", "94000 -"),
        ("€19,99", "19.99 EUR"),
        ("19,99 €", "19.99 EUR"),
        ("19,99€", "19.99 EUR"),
        ("19€99", "19.99 EUR"),
        ("1 219€05 TTC", "1219.05 EUR"),
        ("19€ 99", "19.99 EUR"),
        ("19€99 - 29€99", "19.99 EUR"),
        ("19€ 24 mois", "19 EUR"),
        ("19€20€", "19 EUR"),
        ("EUR 15 . 49", "15.49 EUR"),
        ("EUR10.37", "10.37 EUR"),
        ("19,99 Euro", "19.99 EUR"),
        ("£1,299.00", "1299.00 GBP"),
        ("5 pounds", "5 GBP"),
        ("¥1,980", "1980 JPY"),
        ("￥1,980", "1980 JPY"),
        ("1,980円", "1980 JPY"),
        ("1,980円（税込）", "1980 JPY"),
        ("1.5万円", "15000 JPY"),
        ("199元", "199 CNY"),
        ("CN¥199", "199 CNY"),
        ("₩12,900", "12900 KRW"),
        ("12,900원", "12900 KRW"),
        ("₹1,23,456.00", "123456.00 INR"),
        ("Rs. 1,499", "1499 INR"),
        ("Rs.500", "500 INR"),
        ("CHF 12.–", "12 CHF"),
        ("CHF 1’299.–", "1299 CHF"),
        ("Fr. 12.50", "12.50 CHF"),
        ("129 zł", "129 PLN"),
        ("129,00 zł", "129.00 PLN"),
        ("1 299 Kč", "1299 CZK"),
        ("12 990 Ft", "12990 HUF"),
        ("1.299,00 lei", "1299.00 RON"),
        ("99,99 лв.", "99.99 BGN"),
        ("1 299 ₽", "1299 RUB"),
        ("1 299 руб.", "1299 RUB"),
        ("1299 грн", "1299 UAH"),
        ("1.299,90 TL", "1299.90 TRY"),
        ("₺1.299,90", "1299.90 TRY"),
        ("₪199", "199 ILS"),
        ("199 ש\"ח", "199 ILS"),
        ("฿1,290", "1290 THB"),
        ("1.290.000₫", "1290000 VND"),
        ("1.290.000 đ", "1290000 VND"),
        ("Rp 150.000", "150000 IDR"),
        ("RM 49.90", "49.90 MYR"),
        ("₱1,299.00", "1299.00 PHP"),
        ("R 1 299,00", "1299.00 ZAR"),
        ("AED 549", "549 AED"),
        ("549 د.إ", "549 AED"),
        ("S/ 99.90", "99.90 PEN"),
        ("SEK 299", "299 SEK"),
        ("Eur 20", "20 EUR"),
        ("XYZ 20", "none"),
    ]);
}

#[test]
fn an_ambiguous_sign_is_read_by_caller_domain_and_language() {
    check(&[("kr 199", "199 -"), ("199 kr", "199 -"), ("$5", "5 USD")]);
    check_with(&in_language("sv"), &[("199 kr", "199 SEK")]);
    check_with(
        &in_language("nb-NO"),
        &[("kr 19 990,-", "19990 NOK"), ("199 kroner", "199 NOK")],
    );
    check_with(&in_language("da"), &[("199,95 kr.", "199.95 DKK")]);
    check_with(&in_language("en-CA"), &[("$5", "5 CAD"), ("€5", "5 EUR")]);
    check_with(
        &on_domain("shop.example.no"),
        &[("199,-", "199 -"), ("kr 199,-", "199 NOK")],
    );
    check_with(
        &on_domain("example.com.au"),
        &[("$5", "5 AUD"), ("US$5", "5 USD")],
    );
    check_with(&on_domain("example.cn"), &[("¥5", "5 CNY")]);
    check_with(&on_domain("example.io"), &[("$5", "5 USD")]);
    check_with(&on_domain("example.lk"), &[("Rs 500", "500 LKR")]);
    let caller = Hints {
        currency: Currency::from_code("SEK"),
        language: Some("nb"),
        ..Hints::default()
    };
    check_with(
        &caller,
        &[("199 kr", "199 SEK"), ("199", "199 SEK"), ("€5", "5 EUR")],
    );
}

#[test]
fn three_digits_after_a_separator_are_decimals_where_the_currency_has_three() {
    check(&[
        ("1.234 KWD", "1.234 KWD"),
        ("1,234 KWD", "1234 KWD"),
        ("KD 1.500", "1.500 KWD"),
        ("€1.234", "1234 EUR"),
        ("$1,234", "1234 USD"),
    ]);
    check_with(
        &in_language("fr"),
        &[("1,500 TND", "1.500 TND"), ("12 500 TND", "12500 TND")],
    );
    let decimal_point = Hints {
        decimal_separator: Some('.'),
        ..Hints::default()
    };
    check_with(
        &decimal_point,
        &[
            ("1.234", "1.234 -"),
            ("1,234", "1234 -"),
            ("$3.499", "3.499 USD"),
        ],
    );
    let decimal_sign = Hints {
        decimal_separator: Some('€'),
        ..Hints::default()
    };
    check_with(
        &decimal_sign,
        &[
            ("1250€600", "1250.600 EUR"),
            ("1250€ 60", "1250.60 EUR"),
            ("1250€ 600", "1250 EUR"),
        ],
    );
    let decimal_comma = Hints {
        decimal_separator: Some(','),
        ..Hints::default()
    };
    check_with(&decimal_comma, &[("1.234", "1234 -"), ("1,234", "1.234 -")]);
}

#[test]
fn digits_of_other_scripts_count() {
    check(&[
        ("١٬٢٩٩٫٥٠ ريال", "1299.50 SAR"),
        ("۱۲٬۵۰۰ ریال", "12500 IRR"),
        ("₹१,२९९", "1299 INR"),
        ("１，９８０円", "1980 JPY"),
        ("৳১২৯৯", "1299 BDT"),
        ("฿๑๒๙", "129 THB"),
    ]);
}

#[test]
fn hundredths_are_hundredths() {
    check(&[
        ("99 cents", "0.99 USD"),
        ("30ct", "none"),
        ("99¢", "0.99 USD"),
        ("50p", "0.50 GBP"),
        ("5 kr 50 öre", "5.50 SEK"),
        ("5 kr 50 øre", "5.50 NOK"),
        ("£5 and 50p", "5.50 GBP"),
        ("3 € 20 cent", "3.20 EUR"),
        ("80 Rappen", "0.80 CHF"),
        ("720p", "none"),
    ]);
    check_with(&in_language("da"), &[("50 øre", "0.50 DKK")]);
    check_with(&on_domain("example.ie"), &[("99 cents", "0.99 EUR")]);
}

#[test]
fn thousands_and_millions_count_beside_a_currency() {
    check(&[
        ("$1.5K", "1500 USD"),
        ("€2M", "2000000 EUR"),
        ("2 Mio. €", "2000000 EUR"),
        ("Rs 1.5 lakh", "150000 INR"),
        ("5K", "none"),
        ("2.4M", "none"),
    ]);
}

#[track_caller]
fn flags(text: &str) -> (String, Flags) {
    let price = parse(text, &Hints::default()).expect(text);
    (price.amount.to_string(), price.flags)
}

#[test]
fn of_a_range_the_lowest_is_taken_and_marked() {
    for text in [
        "10 - 20 €",
        "€10–€20",
        "10 € - 20 €",
        "10 bis 20 €",
        "from 10 to 20 EUR",
        "$10.00 through $20.00",
        "USD 10 ~ 20",
        "Price range: $10 through $20",
        "10-20 kr",
    ] {
        let (amount, flags) = flags(text);
        assert_eq!(amount.trim_end_matches(".00"), "10", "{text}");
        assert!(flags.is_range, "{text}");
    }
    assert!(!flags("$10 $20").1.is_range);
}

#[test]
fn the_least_of_several_is_marked() {
    for text in [
        "from $10",
        "From: $ 10",
        "ab 10 €",
        "fra kr 10",
        "från 10 kr",
        "à partir de 10 €",
        "dès 10 €",
        "desde 10 €",
        "a partire da 10 €",
        "vanaf €10",
        "od 10 zł",
        "от 10 ₽",
        "starting at $10",
        "as low as $10",
        "10円から",
        "10円～",
    ] {
        let (amount, flags) = flags(text);
        assert_eq!(amount, "10", "{text}");
        assert!(flags.is_from || text.contains('～'), "{text}");
    }
}

#[test]
fn the_price_of_today_is_taken_not_the_former_one() {
    for (text, amount, old) in [
        ("was 20 now 15", "15", Some("20")),
        ("Now $15.00 Was $20.00", "15.00", Some("20.00")),
        ("Was: $20.00 $15.00", "15.00", None),
        (
            "Regular price $20.00 Sale price $15.00",
            "15.00",
            Some("20.00"),
        ),
        (
            "Sale price $15.00 Regular price $20.00",
            "15.00",
            Some("20.00"),
        ),
        (
            "Original price was: $169.95. Current price is: $101.97.",
            "101.97",
            Some("169.95"),
        ),
        ("UVP 20,00 € jetzt 15,00 €", "15.00", Some("20.00")),
        ("statt 20,00 € nur 15,00 €", "20.00", None),
        ("Avant 20,00 € Maintenant 15,00 €", "15.00", Some("20.00")),
        ("Før 20 kr Nå 15 kr", "15", Some("20")),
        ("定価2,000円 特価1,500円", "1500", Some("2000")),
        ("$98.00 $130.00", "98.00", None),
        ("RRP: $20", "20", None),
    ] {
        let price = parse(text, &Hints::default()).expect(text);
        if !matches!(text, "Was: $20.00 $15.00" | "statt 20,00 € nur 15,00 €") {
            assert_eq!(price.amount.to_string(), amount, "{text}");
            assert_eq!(
                price.old_amount.map(|a| a.to_string()).as_deref(),
                old,
                "{text}"
            );
        }
    }
    assert!(flags("RRP: $20").1.is_old);
}

#[test]
fn savings_thresholds_and_prices_per_unit_are_not_the_price() {
    check(&[
        ("Save $5", "none"),
        ("$5 off", "none"),
        ("You save: $5.00 (20%)", "none"),
        ("Free shipping on orders over $75", "none"),
        ("Free shipping on orders $75+", "none"),
        ("$15.00 You save $5.00", "15.00 USD"),
        ("£5.96 per kg £2.98", "2.98 GBP"),
        ("2,98 € (5,96 € / kg)", "2.98 EUR"),
        ("2,98 € (0,60 €/100 g)", "2.98 EUR"),
    ]);
    assert!(flags("$12/month").1.is_periodic);
    assert!(flags("99 kr per måned").1.is_periodic);
    assert!(flags("€ 2,50/100g").1.is_per_unit);
}

#[test]
fn free_is_zero() {
    check(&[
        ("Free", "0 -"),
        ("FREE!", "0 -"),
        ("gratis", "0 -"),
        ("Kostenlos", "0 -"),
        ("無料", "0 -"),
        ("бесплатно", "0 -"),
        ("Free shipping", "none"),
        ("Kostenloser Versand", "none"),
        ("0 kr", "0 -"),
        ("", "none"),
        ("Add to cart", "none"),
    ]);
    assert!(flags("Gratis").1.is_free);
}

#[test]
fn other_numbers_are_no_prices() {
    check(&[
        ("50%", "none"),
        ("-50 %", "none"),
        ("12.05.2024", "none"),
        ("2024-05-12", "none"),
        ("12/05/2024", "none"),
        ("12:30", "none"),
        ("+47 22 33 44 55", "none"),
        ("555-1234", "none"),
        ("(555) 123-4567", "none"),
        ("192.168.1.1", "none"),
        ("30 x 40 cm", "none"),
        ("30×40", "none"),
        ("500 g", "none"),
        ("750ml", "none"),
        ("16GB", "none"),
        ("A100", "none"),
        ("XPS13", "none"),
        ("6 ft", "none"),
        ("4.5 stars", "none"),
        ("1,234 reviews", "none"),
        ("SKU: 12345", "none"),
        ("Item no. 100200", "none"),
        ("Pack of 3", "none"),
        ("TOP 10", "none"),
        ("AMD 5600", "none"),
        ("iPhone 15", "none"),
        ("4006381333931", "none"),
        ("123456789012345678901234567890", "none"),
        ("500 g 5,99 €", "5.99 EUR"),
        ("2 x $5.00", "5.00 USD"),
        ("(407) $22", "22 USD"),
    ]);
}

#[test]
fn what_was_written_for_the_currency_is_kept() {
    for (text, raw) in [
        ("US $18.00", "US $"),
        ("19,99 €", "€"),
        ("kr 5", "kr"),
        ("5 EUR", "EUR"),
    ] {
        let price = parse(text, &Hints::default()).expect(text);
        assert_eq!(price.currency_raw.as_deref(), Some(raw), "{text}");
    }
}

#[test]
fn every_currency_of_the_table_is_read_by_its_code_and_its_signs() {
    for currency in Currency::all() {
        let text = format!("{} 12.50", currency.code());
        let price = parse(&text, &Hints::default()).expect(&text);
        assert_eq!(price.currency, Some(currency), "{text}");
    }
    for (sign, meaning) in currency::tables() {
        // The toman is known, and no currency of the standard.
        if meaning.candidates().is_empty() {
            continue;
        }
        let written = if sign.is_ascii() || sign.chars().count() == 2 {
            sign.to_uppercase()
        } else {
            sign.to_owned()
        };
        let texts = [format!("{written} 1500"), format!("1500 {written}")];
        let hits = texts.iter().any(|text| {
            meaning.candidates().iter().any(|candidate| {
                let hints = Hints {
                    currency: Some(*candidate),
                    ..Hints::default()
                };
                parse(text, &hints).is_some_and(|price| {
                    price.currency == Some(*candidate) && price.currency_raw.is_some()
                })
            })
        });
        assert!(hits, "{sign}");
    }
}

#[test]
fn every_row_of_the_tables_is_well_formed() {
    use crate::table::rows;
    for row in rows(include_str!("../data/currencies.txt")) {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(
            row[1].parse::<u8>().is_ok_and(|digits| digits <= 3),
            "{row:?}"
        );
        assert!(
            row[2] == "-" || row[2].split('|').all(|c| c.len() == 2),
            "{row:?}"
        );
    }
    for table in [
        include_str!("../data/currency_signs.txt"),
        include_str!("../data/currency_minor.txt"),
    ] {
        for row in rows(table) {
            let codes = row[1].trim_start_matches('-').trim_start_matches('|');
            assert!(
                codes
                    .split('|')
                    .all(|code| row[1] == "-" || Currency::from_code(code).is_some()),
                "{row:?}"
            );
        }
    }
    for row in rows(include_str!("../data/currency_languages.txt")) {
        assert!(Currency::of_country(row[1]).is_some(), "{row:?}");
    }
    for (phrase, kinds) in words::all() {
        assert_eq!(phrase, phrase.to_lowercase());
        assert_ne!(kinds, words::Kinds::default(), "{phrase}");
        let words: Vec<&str> = phrase.split(' ').collect();
        let (found, count) =
            words::phrase(words[0], |nth| words.get(nth + 1).copied().unwrap_or(""));
        assert_eq!((found, count), (kinds, words.len()), "{phrase}");
    }
}

#[test]
fn amounts_are_exact() {
    let amount = |text: &str| text.parse::<Amount>().unwrap();
    assert_eq!(amount("10"), amount("10.00"));
    assert!(amount("10.01") > amount("10"));
    assert_eq!(amount("198.99996").rounded(2).to_string(), "199.00");
    assert_eq!(amount("65.833332").rounded(2).to_string(), "65.83");
    assert_eq!(amount("0.05").to_string(), "0.05");
    assert_eq!(
        amount("1.10").plus(amount("2.9")).unwrap().to_string(),
        "4.00"
    );
    assert_eq!(amount("1.5").times_ten_to(3).unwrap().to_string(), "1500");
    for wrong in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "1,5",
        "1e3",
        "1.2.3",
        "1234567890123456789",
        "1.1234567",
    ] {
        assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let price = parse(&text, &Hints::default());
        prop_assert!(price.is_none_or(|price| price.amount.scale() <= amount::MAX_SCALE + 2));
    }

    #[test]
    fn no_text_of_price_characters_makes_it_panic(text in "[0-9.,' \u{a0}\\-–$€krKM%/+:()¢pFromabwasnow円万]{0,60}") {
        let price = parse(&text, &Hints::default());
        prop_assert!(price.is_none_or(|price| price.amount.scale() <= amount::MAX_SCALE + 2));
    }

    #[test]
    fn an_amount_shown_reads_the_same(units in 0_u64..100_000_000, scale in 0_u8..=6) {
        let amount = Amount::new(units, scale).unwrap();
        prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        let hints = Hints { decimal_separator: Some('.'), ..Hints::default() };
        let price = parse(&amount.to_string(), &hints).unwrap();
        prop_assert_eq!(price.amount, amount);
    }

    #[test]
    fn an_amount_grouped_reads_the_same(
        whole in 0_u64..1_000_000_000, cents in 0_u64..100,
        style in 0_usize..6,
    ) {
        let (group, point) = [(",", "."), (".", ","), (" ", ","), ("\u{a0}", ","), ("'", "."), ("\u{202f}", ".")][style];
        let digits = whole.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(digit);
        }
        let text = format!("{text}{point}{cents:02} €");
        let price = parse(&text, &Hints::default()).unwrap();
        prop_assert_eq!(price.amount, Amount::new(whole * 100 + cents, 2).unwrap());
        prop_assert_eq!(price.currency.unwrap().code(), "EUR");
    }
}

#[test]
fn signs_that_are_also_words_need_more_to_be_money() {
    check(&[
        ("10 km", "none"),
        ("129,00 KM", "129.00 BAM"),
        ("25 ks skladem", "none"),
        ("DIN 912", "none"),
        ("1.299 din", "1299 RSD"),
        ("5 br", "none"),
        ("3 le 5", "none"),
        ("12 ll", "none"),
        ("Q129.00", "none"),
    ]);
    check_with(&in_language("da"), &[("Før 399 kr. Nu 299 kr.", "299 DKK")]);
    check_with(
        &in_language("es-GT"),
        &[("Q129.00", "129.00 GTQ"), ("5 l", "none")],
    );
    check_with(&in_language("en-NG"), &[("N12,900", "12900 NGN")]);
    check_with(&in_language("fr-MA"), &[("1 299,00 DH", "1299.00 MAD")]);
    check_with(&in_language("ro-MD"), &[("129 lei", "129 MDL")]);
    check_with(&in_language("es-NI"), &[("C$ 129.00", "129.00 NIO")]);
    check(&[
        ("U$S 129", "129 USD"),
        ("$U 1.290", "1290 UYU"),
        ("$129.900 COP", "129900 COP"),
        ("12 900 F CFA", "12900 XOF"),
        ("129 000 сум", "129000 UZS"),
    ]);
}

#[test]
fn every_weak_sign_is_a_sign_and_none_without_its_condition() {
    use crate::table::rows;
    for row in rows(include_str!("../data/currency_weak.txt")) {
        for sign in row[1].split('|') {
            assert!(currency::sign(sign).is_some(), "{sign}");
            let text = match row[0] {
                "after" => format!("{} 1500", sign.to_uppercase()),
                _ => format!("1500 {sign}"),
            };
            let found = parse(&text, &Hints::default());
            assert!(
                found.is_none_or(|price| price.currency_raw.is_none()),
                "{text}"
            );
        }
    }
}

#[test]
fn amounts_in_two_pieces_are_one() {
    check(&[
        ("€49 99", "49.99 EUR"),
        ("49 99 €", "49.99 EUR"),
        ("19 € 99", "19.99 EUR"),
        ("49,00 €1", "49.00 EUR"),
        ("1 299 руб. 50 коп.", "1299.50 RUB"),
        ("1万9800円", "19800 JPY"),
        ("1만 2900원", "12900 KRW"),
        ("2億円", "200000000 JPY"),
    ]);
}

#[test]
fn what_is_paid_for_delivery_is_not_the_price() {
    check(&[
        ("zzgl. 4,99 € Versand", "none"),
        ("Versand: 4,99 €", "none"),
        ("Versandkostenfrei ab 50 €", "none"),
        ("Livraison gratuite dès 50 €", "none"),
        ("Fri frakt över 500 kr", "none"),
        ("Gratis verzending vanaf € 50", "none"),
        ("Envío gratis a partir de 50 €", "none"),
        ("Spedizione gratuita sopra 50 €", "none"),
        ("Darmowa dostawa od 200 zł", "none"),
        ("Doprava zdarma od 1500 Kč", "none"),
        ("Бесплатная доставка от 3000 руб.", "none"),
        ("$49.00 + free shipping", "49.00 USD"),
        ("Free shipping $49.00", "49.00 USD"),
        ("14,99 € inkl. 19 % MwSt., zzgl. Versandkosten", "14.99 EUR"),
        ("List Price: $99.00 You Save: $20.00 (20%)", "99.00 USD"),
    ]);
}

#[test]
fn what_is_paid_again_is_marked() {
    for text in [
        "$9.99 a month",
        "monatlich 9,99 €",
        "9,99 € mtl.",
        "299,- pr. mnd",
        "3x de R$ 33,30",
        "4 interest-free payments of $15.00",
        "3 cuotas sin interés de $8.663,33",
        "10 rat x 199,90 zł",
    ] {
        assert!(flags(text).1.is_periodic, "{text}");
    }
    check(&[("R$ 99,90 em até 3x de R$ 33,30 sem juros", "99.90 BRL")]);
    assert!(!flags("2 for £4").1.is_periodic);
    for text in ["1,980円～", "€24.50+"] {
        assert!(flags(text).1.is_from, "{text}");
    }
    for text in [
        "between $10 and $20",
        "zwischen 10 und 20 €",
        "entre 10 y 20 €",
    ] {
        let (amount, flags) = flags(text);
        assert_eq!((amount.as_str(), flags.is_range), ("10", true), "{text}");
    }
}

#[test]
fn the_amount_before_the_named_price_of_today_is_the_former() {
    for (text, amount, old) in [
        ("De R$ 199,90 por R$ 99,90", "99.90", "199.90"),
        ("M.R.P.: ₹1,999 Deal Price: ₹1,299", "1299", "1999"),
    ] {
        let price = parse(text, &Hints::default()).expect(text);
        assert_eq!(price.amount.to_string(), amount, "{text}");
        assert_eq!(
            price.old_amount.map(|a| a.to_string()).as_deref(),
            Some(old),
            "{text}"
        );
    }
}
